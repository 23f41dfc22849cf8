package apiserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/certs"
)

// now is what the servers of tests take for now.
func now() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }

// stage is a completed server on a port of this machine.
type stage struct {
	t          *testing.T
	url        string
	ca         []byte
	client     *http.Client
	reader     *fakeReader
	tenancy    *fakeTenancy
	authorizer *fakeAuthorizer
	cursors    *store.Cursors
	clock      *movingClock
	rest       *fakeREST
}

func start(t *testing.T, modify ...func(*Options)) *stage {
	t.Helper()
	s := &stage{
		t: t, reader: &fakeReader{}, tenancy: &fakeTenancy{}, authorizer: &fakeAuthorizer{},
		clock: &movingClock{now: now()}, rest: &fakeREST{},
	}
	var err error
	if s.cursors, err = store.NewCursors(bytes.Repeat([]byte("k"), store.CursorKeyBytes), s.clock.Now); err != nil {
		t.Fatal(err)
	}
	ca, err := certs.NewCA("apiserver")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.IssueServing("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	o := NewOptions()
	dir := t.TempDir()
	if o.Serving.ServerCert.CertKey.CertFile, o.Serving.ServerCert.CertKey.KeyFile, err = pair.Write(dir, "serving"); err != nil {
		t.Fatal(err)
	}
	if o.Serving.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.url = "https://" + o.Serving.Listener.Addr().String()
	s.ca = ca.CertPEM()
	o.Server.ShutdownDelayDuration = 0
	o.Authentication.RemoteKubeConfigFileOptional, o.Authentication.SkipInClusterLookup = true, true
	o.Authorization.RemoteKubeConfigFileOptional = true
	o.Features.EnablePriorityAndFairness = false
	for _, m := range modify {
		m(o)
	}
	if errs := o.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	s.run(o, ca)
	return s
}

func (s *stage) run(o *Options, ca *certs.CA) {
	s.t.Helper()
	config, err := o.Config(Dependencies{
		Reader: s.reader, Cursors: s.cursors, Tenancy: s.tenancy, Cluster: &rest.Config{Host: "127.0.0.1:1"},
		Lists: NewLists(o.Lists), REST: s.rest, Now: now, Version: "v0.0.0-test",
	})
	if err != nil {
		s.t.Fatal(err)
	}
	config.generic.Authentication.Authenticator = byToken
	config.generic.Authorization.Authorizer = authorizer.AuthorizerFunc(s.authorizer.Authorize)
	server, err := config.Complete().New()
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}, ForceAttemptHTTP2: true}
	s.client = &http.Client{Transport: transport}
	s.t.Cleanup(func() {
		cancel()
		transport.CloseIdleConnections()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
	await.Nil(s.t, "the server is ready", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/readyz?verbose", http.NoBody)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer prober")
		response, err := s.client.Do(req)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			body, _ := io.ReadAll(response.Body)
			return fmt.Errorf("%s: %s", response.Status, body)
		}
		return nil
	})
}

// answer is what came back.
type answer struct {
	code   int
	header http.Header
	body   []byte
}

func (s *stage) do(method, path string, header ...string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer alice")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	response, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{code: response.StatusCode, header: response.Header, body: body}
}

func (s *stage) get(path string, header ...string) answer {
	s.t.Helper()
	return s.do(http.MethodGet, path, header...)
}

// into decodes an answer that must be 200.
func (a answer) into(t *testing.T, out any) {
	t.Helper()
	if a.code != http.StatusOK {
		t.Fatalf("%d: %.2000s", a.code, a.body)
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		t.Fatalf("%v: %.2000s", err, a.body)
	}
}
