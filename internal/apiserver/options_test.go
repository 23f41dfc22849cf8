package apiserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/certs"
)

// validOptions are the least that can be served with.
func validOptions(modify ...func(*Options)) *Options {
	o := NewOptions()
	o.Serving.ServerCert.CertKey.CertFile, o.Serving.ServerCert.CertKey.KeyFile = "tls.crt", "tls.key"
	for _, m := range modify {
		m(o)
	}
	return o
}

func TestOptionsAreValidatedTogether(t *testing.T) {
	tests := map[string]struct {
		flags []string
		want  []string // in the errors, one each
	}{
		"as they are":                  {},
		"no certificate":               {flags: []string{"--tls-cert-file="}, want: []string{"--tls-cert-file and --tls-private-key-file are needed"}},
		"a store as slow as a request": {flags: []string{"--store-timeout=60s"}, want: []string{"--store-timeout is 1m0s"}},
		"a store without time":         {flags: []string{"--store-timeout=0"}, want: []string{"--store-timeout is 0s"}},
		"too few lists":                {flags: []string{"--max-lists-inflight=1"}, want: []string{"--max-lists-inflight is 1"}},
		"several at once": {
			flags: []string{"--tls-private-key-file=", "--secure-port=-1", "--max-lists-inflight=0"},
			want:  []string{"--secure-port", "--tls-cert-file", "--max-lists-inflight"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := validOptions()
			flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
			o.AddFlags(flags)
			if err := flags.Parse(test.flags); err != nil {
				t.Fatal(err)
			}
			got := o.Validate()
			if len(got) != len(test.want) {
				t.Fatalf("%v, want %q", got, test.want)
			}
			for i, want := range test.want {
				if !strings.Contains(got[i].Error(), want) {
					t.Errorf("%v, want %s", got[i], want)
				}
			}
		})
	}
}

func TestDefaultsSuitAServerBehindAProxy(t *testing.T) {
	o := NewOptions()
	if o.Serving.HTTP2MaxStreamsPerConnection != 1000 || o.Server.ShutdownSendRetryAfter || o.Server.ShutdownDelayDuration <= 0 ||
		!o.Features.EnablePriorityAndFairness || o.Features.EnableProfiling {
		t.Errorf("%+v %+v %+v", o.Serving.SecureServingOptions, o.Server, o.Features)
	}
}

func TestKubeconfigsThatWereGivenStand(t *testing.T) {
	o := validOptions(func(o *Options) { o.Authentication.RemoteKubeConfigFile = "mine" })
	o.UseKubeconfig("cluster")
	if o.Authentication.RemoteKubeConfigFile != "mine" || o.Authorization.RemoteKubeConfigFile != "cluster" {
		t.Errorf("%q, %q", o.Authentication.RemoteKubeConfigFile, o.Authorization.RemoteKubeConfigFile)
	}
}

func TestEveryDependencyIsNeeded(t *testing.T) {
	whole := Dependencies{
		Reader: &fakeReader{}, Cursors: &store.Cursors{}, Tenancy: &fakeTenancy{}, Cluster: &rest.Config{}, Lists: NewLists(0), Now: time.Now,
	}
	if err := whole.validate(); err != nil {
		t.Fatal(err)
	}
	for field := range reflect.TypeFor[Dependencies]().Fields() {
		if field.Name == "REST" || field.Name == "Version" {
			continue
		}
		d := whole
		reflect.ValueOf(&d).Elem().FieldByIndex(field.Index).SetZero()
		if _, err := validOptions().Config(d); err == nil || !strings.Contains(err.Error(), field.Name) {
			t.Errorf("without %s: %v", field.Name, err)
		}
	}
}

func TestTheCertificateIsReadAgainWhenItChanges(t *testing.T) {
	dir := t.TempDir()
	ca, err := certs.NewCA("second")
	if err != nil {
		t.Fatal(err)
	}
	var files *Options
	s := start(t, func(o *Options) { files = o })
	pair, err := ca.IssueServing("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if err := replace(pair, dir, files); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(s.url, "https://")
	await.True(t, "the new certificate is served", func() bool {
		connection, err := tls.Dial("tcp", address, &tls.Config{RootCAs: ca.Pool()})
		if err != nil {
			return false
		}
		return connection.Close() == nil
	})
}

// replace writes a pair over the files that a server reads.
func replace(pair certs.Pair, dir string, o *Options) error {
	cert, key, err := pair.Write(dir, "new")
	if err != nil {
		return err
	}
	err = errors.Join(
		os.Rename(cert, o.Serving.ServerCert.CertKey.CertFile), os.Rename(key, o.Serving.ServerCert.CertKey.KeyFile),
	)
	if err != nil {
		return fmt.Errorf("replace the certificate: %w", err)
	}
	return nil
}
