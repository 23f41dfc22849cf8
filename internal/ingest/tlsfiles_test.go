package ingest

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/certs"
)

// authority is a CA with the files of a server of it.
func authority(t *testing.T, dir string) (*certs.CA, TLSFiles) {
	t.Helper()
	ca, err := certs.NewCA("test")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.IssueServing("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	files := TLSFiles{ClientCA: filepath.Join(dir, "ca.crt")}
	if files.Cert, files.Key, err = pair.Write(dir, "server"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files.ClientCA, ca.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return ca, files
}

func TestRenewedFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	_, files := authority(t, dir)
	now := builders.Time()
	log := &logBook{}
	r, err := newReloadingTLS(files, func() time.Time { return now }, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	first := r.current()

	// A certificate without its key, as for a moment when files are replaced.
	other, _ := authority(t, t.TempDir())
	half, err := other.IssueServing("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files.Cert, append(half.CertPEM, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := r.current(); got != first {
		t.Error("the files were looked at within a second")
	}
	for range 3 {
		now = now.Add(2 * time.Second)
		if got := r.current(); got != first {
			t.Error("half of a pair is in use")
		}
	}
	if n := log.count("cannot read the renewed TLS files"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	if err := os.WriteFile(files.Key, half.KeyPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Second)
	if got := r.current(); got == first {
		t.Error("the new pair is not in use")
	}
}

// TestARevokedAuthorityIsRefused replaces the clients' authority under a running
// server, from whom an earlier client holds a session.
func TestARevokedAuthorityIsRefused(t *testing.T) {
	r := newRig(t)
	r.client.Transport.(*http.Transport).TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	body := builders.EventList(named("one"))
	if answered := r.events(body); answered.Status != 200 {
		t.Fatalf("%+v", answered)
	}
	other, err := certs.NewCA("another")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.files.ClientCA, other.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the earlier client is refused", func() bool {
		r.client.CloseIdleConnections()
		res, err := r.client.Post(r.url(PathKubernetes+"prod"), "application/json", strings.NewReader(string(body)))
		if err != nil {
			return true
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusUnauthorized
	})
	pair, err := other.IssueClient("prod")
	if err != nil {
		t.Fatal(err)
	}
	r.client = r.clientWith(pair)
	if answered := r.events(body); answered.Status != 200 {
		t.Errorf("a client of the new authority: %+v", answered)
	}
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	tests := map[string]func(*TLSFiles){
		"no certificate":              func(f *TLSFiles) { f.Cert += ".none" },
		"no key":                      func(f *TLSFiles) { f.Key += ".none" },
		"no authority":                func(f *TLSFiles) { f.ClientCA += ".none" },
		"a key as the authority":      func(f *TLSFiles) { f.ClientCA = f.Key },
		"key and certificate swapped": func(f *TLSFiles) { f.Cert, f.Key = f.Key, f.Cert },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			_, files := authority(t, t.TempDir())
			change(&files)
			if s, err := NewServer(ServerOptions{Address: "127.0.0.1:0", TLS: files, Handler: http.NotFoundHandler(), Log: logr.Discard()}); err == nil {
				_ = s.Close()
				t.Error("the server was made")
			}
		})
	}
}
