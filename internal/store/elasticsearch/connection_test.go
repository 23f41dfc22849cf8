package elasticsearch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOptions(t *testing.T) {
	valid := func(modify ...func(*Options)) Options {
		o := Options{Connection: Connection{URLs: []string{"https://es.example:9200"}}}
		for _, m := range modify {
			m(&o)
		}
		return o
	}
	minus := -1
	cases := map[string]struct {
		options Options
		wantErr string
	}{
		"the least":                     {valid(), ""},
		"no address":                    {Options{}, "no URL is given"},
		"an address without scheme":     {valid(func(o *Options) { o.Connection.URLs = []string{"secret:9200"} }), "URL 1 is not of the form"},
		"an address with a password":    {valid(func(o *Options) { o.Connection.URLs = []string{"https://a:secret@b:1"} }), "URL 1 holds credentials"},
		"a prefix with a wildcard":      {valid(func(o *Options) { o.IndexPrefix = "a*" }), "the index prefix"},
		"a timeout beyond API servers'": {valid(func(o *Options) { o.RequestTimeout = time.Minute }), "the request timeout"},
		"negative replicas":             {valid(func(o *Options) { o.Replicas = &minus }), "replicas"},
		"a CA that is none":             {valid(func(o *Options) { o.Connection.CA = []byte("x") }), "no certificate in PEM"},
		"a directory that is missing":   {valid(func(o *Options) { o.Directory = filepath.Join(t.TempDir(), "x") }), `the file "url"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), c.options)
			if c.wantErr == "" {
				if err != nil {
					t.Fatal(err)
				}
				_ = s.Close()
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.wantErr) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want one that says %q and no secret", err, c.wantErr)
			}
		})
	}
}

// writeSecret writes files as Kubernetes mounts a Secret: behind a link.
func writeSecret(t *testing.T, dir, version string, files map[string]string) {
	t.Helper()
	target := filepath.Join(dir, version)
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(target, name), []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "..data")
	_ = os.Remove(link)
	if err := os.Symlink(version, link); err != nil {
		t.Fatal(err)
	}
}

func TestCredentialsThatChangeAreUsedWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	writeSecret(t, dir, "..1", map[string]string{fileURL: "http://es.example:9200", fileUsername: "a", filePassword: "first"})
	f := &fakeServer{scripted: []reaction{{body: page()}}}
	now := date(2026, 11, 24)
	s, err := Open(t.Context(), Options{IndexPrefix: "x", Directory: dir, transport: f, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	list := func() string {
		t.Helper()
		if _, err := s.List(t.Context(), allAudits(1)); err != nil {
			t.Fatal(err)
		}
		sent := f.to("/_search")
		return sent[len(sent)-1].header.Get("Authorization")
	}
	before := list()
	if !strings.HasPrefix(before, "Basic ") {
		t.Fatalf("the user is sent as %q", before)
	}
	writeSecret(t, dir, "..2", map[string]string{fileURL: "http://es.example:9200", fileAPIKey: "id:key"})
	now = now.Add(forcedReloadInterval)
	f.scripted = []reaction{{status: 401}, {body: page()}}
	if got := list(); got != "APIKey aWQ6a2V5" {
		t.Errorf("after a refusal %q is sent", got)
	}
	writeSecret(t, dir, "..3", map[string]string{fileURL: "http://es.example:9200", fileAPIKey: "bmV4dA=="})
	now = now.Add(reloadInterval)
	if got := list(); got != "APIKey bmV4dA==" {
		t.Errorf("after a while %q is sent", got)
	}
	writeSecret(t, dir, "..4", map[string]string{fileUsername: "a"})
	now = now.Add(reloadInterval)
	if got := list(); got != "APIKey bmV4dA==" {
		t.Errorf("while the files are incomplete %q is sent", got)
	}
}
