package rules_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/certs"
	"auditquery.dev/auditquery/test/loopback"
	"auditquery.dev/auditquery/test/stage"
)

func TestServersAreReplacedWithoutAFailedRequest(t *testing.T) {
	w := theWorld(t)
	l := startLoad(t, w.balancedWays(t, w.CA().CertPEM()), way.good)
	l.goOn(t)
	for _, server := range w.Servers()[:replicas] {
		if err := server.Stop(t.Context()); err != nil { // by SIGTERM, and to its end
			t.Fatal(err)
		}
		l.goOn(t)
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		await.True(t, "both servers are ready", func() bool { return w.balancer.Ready() == replicas })
		l.goOn(t)
	}
	l.wantNoFailure(t)
}

func TestCertificatesAreReplacedWithoutAFailedRequest(t *testing.T) {
	w := theWorld(t)
	next, err := certs.NewCA("next")
	if err != nil {
		t.Fatal(err)
	}
	both := slices.Concat(w.CA().CertPEM(), next.CertPEM())
	port := w.balancer.Port()
	l := startLoad(t, w.balancedWays(t, both), way.good)
	l.goOn(t)
	w.reregister(t, l, stage.Registration{Port: port, CABundle: both})
	w.reissue(t, next)
	l.goOn(t)
	w.reregister(t, l, stage.Registration{Port: port, CABundle: next.CertPEM()})

	// And back, which is the same once more.
	w.reregister(t, l, stage.Registration{Port: port, CABundle: both})
	w.reissue(t, w.CA())
	w.reregister(t, l, stage.Registration{Port: port})
	l.wantNoFailure(t)
}

// reregister changes the APIServices while requests come.
func (w *world) reregister(t *testing.T, l *load, r stage.Registration) {
	t.Helper()
	if err := w.Register(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	l.goOn(t)
}

// reissue gives each server a certificate of an authority, and returns when it is
// what they show.
func (w *world) reissue(t *testing.T, ca *certs.CA) {
	t.Helper()
	for _, server := range w.Servers()[:replicas] {
		pair, err := stage.IssueServing(ca)
		if err != nil {
			t.Fatal(err)
		}
		if err := server.WriteCertificate(pair); err != nil {
			t.Fatal(err)
		}
	}
	for _, server := range w.Servers()[:replicas] {
		await.Nil(t, server.Name()+" shows its new certificate", func(ctx context.Context) error {
			return shows(ctx, server, ca)
		})
	}
}

func shows(ctx context.Context, server *stage.Server, ca *certs.CA) error {
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12}}
	connection, err := dialer.DialContext(ctx, "tcp", loopback.Address(server.Port()))
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return errors.New("it shows the old one")
	}
	if err != nil {
		return err
	}
	return connection.Close()
}

// balancedWays are all ways to ask, of which the server's own address leads
// through the balancer, too, and trusts the authorities given.
func (w *world) balancedWays(t *testing.T, authorities []byte) map[string]way {
	t.Helper()
	all := ways(t, w.Stage)
	reader := w.reader(t, "balanced")
	reader.Host = "https://" + loopback.Address(w.balancer.Port())
	reader.TLSClientConfig = rest.TLSClientConfig{CAData: authorities}
	own := all[ownAddress]
	own.client = mustClient(t, reader)
	all[ownAddress] = own
	return all
}

func TestATokenIsGoodOnEveryReplicaAndAfterARestart(t *testing.T) {
	w := theWorld(t)
	config := w.reader(t, "pager")
	ask := func(server *stage.Server, path string) (list, string) {
		t.Helper()
		a := mustClient(t, server.Config(config)).get(t.Context(), path)
		l, err := a.list()
		if err != nil {
			t.Fatal(err)
		}
		link, _, _ := strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
		return l, link
	}
	first, second := w.Servers()[0], w.Servers()[1]
	records := namespaced(recordsPath, smallOrg, "audits", append(inWindow(""), "limit", "15")...)
	original := ownPath + "/audits"
	one, _ := ask(first, records)
	_, link := ask(first, original+encoded([]string{"org_id", smallOrg, "dt_from", windowFrom, "limit", "15"}))
	two, _ := ask(second, records+encodedContinue(one.Metadata.Continue))
	originalTwo, nextLink := ask(second, original+link)

	if err := errors.Join(first.Stop(t.Context()), first.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	three, _ := ask(first, records+encodedContinue(two.Metadata.Continue))
	originalThree, end := ask(first, original+nextLink)
	var ids []string
	for _, l := range []list{one, two, three} {
		for _, item := range l.Items {
			ids = append(ids, item.Metadata.Name)
		}
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != smallAudits || three.Metadata.Continue != "" {
		t.Errorf("%d different records", len(ids))
	}
	if originalTwo.records() != 15 || originalThree.records() != 10 || end != "" {
		t.Errorf("the original list's pages have %d and %d records, then %q", originalTwo.records(), originalThree.records(), end)
	}
	if _, err := url.Parse(link); err != nil || !strings.HasPrefix(link, "?") {
		t.Errorf("the link is %q", link)
	}
	await.True(t, "both servers are ready", func() bool { return w.balancer.Ready() == replicas })
}
