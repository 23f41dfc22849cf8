package certs_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"auditquery.dev/auditquery/test/certs"
)

// TestMutualTLS has a client and a server of one authority meet, and sees
// strangers turned away.
func TestMutualTLS(t *testing.T) {
	ca := newCA(t, "ours")
	serving, err := ca.IssueServing("localhost", "127.0.0.1", "::1")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer := r.TLS.PeerCertificates[0].Subject
		_, _ = io.WriteString(w, peer.CommonName+" in "+peer.Organization[0])
	}))
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{pairTLS(t, serving)},
		ClientCAs:    ca.Pool(),
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}
	server.StartTLS()
	t.Cleanup(server.Close)

	client, err := ca.IssueClient("alice", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, server.URL, ca, client); err != nil || got != "alice in system:masters" {
		t.Errorf("client of the same authority: got %q, %v", got, err)
	}

	stranger := newCA(t, "theirs")
	foreign, err := stranger.IssueClient("mallory", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, server.URL, ca, foreign); err == nil {
		t.Errorf("a client of another authority was served: %q", got)
	}
	if got, err := get(t, server.URL, stranger, client); err == nil {
		t.Errorf("a server of another authority was trusted: %q", got)
	}
}

func TestServingNeedsAHost(t *testing.T) {
	if _, err := newCA(t, "ours").IssueServing(); err == nil {
		t.Error("a serving certificate without a host was issued")
	}
}

func TestKeyPairBelongsTogether(t *testing.T) {
	private, public, err := certs.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	privateBlock, _ := pem.Decode(private)
	publicBlock, _ := pem.Decode(public)
	if privateBlock == nil || publicBlock == nil {
		t.Fatal("not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(privateBlock.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	want, err := x509.ParsePKIXPublicKey(publicBlock.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatalf("the private key is a %T", key)
	}
	if !signer.PublicKey.Equal(want) {
		t.Error("the public key is another key's")
	}
}

func newCA(t *testing.T, name string) *certs.CA {
	t.Helper()
	ca, err := certs.NewCA(name)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func pairTLS(t *testing.T, pair certs.Pair) tls.Certificate {
	t.Helper()
	cert, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func get(t *testing.T, url string, trusted *certs.CA, client certs.Pair) (string, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs:      trusted.Pool(),
		Certificates: []tls.Certificate{pairTLS(t, client)},
		MinVersion:   tls.VersionTLS12,
	}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}
