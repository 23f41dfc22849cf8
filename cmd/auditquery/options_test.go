package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// parse parses flags and validates what they say.
func parse(t *testing.T, validate func() error, cmd *cobra.Command, args ...string) error {
	t.Helper()
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return validate()
}

const wholeReceiver = "--secure-port=0 --ingest-tls-cert-file=c --ingest-tls-key-file=k --ingest-client-ca-file=a "

// serveCase is a command line and what is wrong with it.
type serveCase struct {
	role string
	args string
	want []string // parts of the error, in order; none for a sound command line
}

func serveCases() map[string]serveCase {
	return map[string]serveCase{
		"all with a receiver":    {role: "all", args: wholeReceiver},
		"all without a receiver": {role: "all", args: "--secure-port=0 --ingest-address="},
		"all with an API server": {role: "all", args: "--ingest-address= --tls-cert-file=c --tls-private-key-file=k"},
		"an API server alone":    {role: "apiserver", args: "--elasticsearch-secret-dir=/s --tls-cert-file=c --tls-private-key-file=k"},
		"an API server without a certificate": {
			role: "apiserver", args: "--elasticsearch-secret-dir=/s", want: []string{"--tls-cert-file and --tls-private-key-file"},
		},
		"all on Elasticsearch":           {role: "all", args: wholeReceiver + "--store=elasticsearch --elasticsearch-url=https://es:9200,https://es2:9200"},
		"controller with a secret's dir": {role: "controller", args: "--elasticsearch-secret-dir=/s --leader-elect --health-address=:8081"},
		"a receiver without files": {
			role: "all", want: []string{"--ingest-tls-cert-file", "--ingest-tls-key-file"},
		},
		"a receiver that nobody could send to": {
			role: "all", args: wholeReceiver + "--ingest-client-ca-file= --ingest-tokens=false", want: []string{"--ingest-client-ca-file"},
		},
		"everything is wrong": {
			role: "all",
			args: "--log-level=loud --log-format=xml --cluster-name=A_B --store=postgres --metrics-address=8080 --health-address=x " +
				"--trusted-proxies=here --ingest-address=nowhere --spool-dir= --dead-letter-dir= --ingest-client-clusters=x --ingest-client-orgs=y= " +
				"--ingest-memory-bytes=1k --spool-segment-bytes=1 --spool-max-bytes=1 --dead-letter-max-bytes=1 " +
				"--retention-batch-size=0 --retention-throttle=NaN --retention-max-run=1s",
			want: []string{
				"--log-level", "--log-format", "--cluster-name", "--store", "--metrics-address", "--health-address",
				"--retention-batch-size", "--retention-throttle", "--retention-max-run", "--trusted-proxies",
				"--ingest-address", "--ingest-tls-cert-file", "--spool-dir", "--dead-letter-dir", "--ingest-client-clusters",
				"--ingest-client-orgs", "--ingest-memory-bytes", "--spool-segment-bytes", "--spool-max-bytes", "--dead-letter-max-bytes",
			},
		},
		"the embedded store for one role alone": {role: "controller", args: "--store=sqlite", want: []string{"auditquery all"}},
		"the controller without a store":        {role: "controller", want: []string{"--elasticsearch-secret-dir"}},
		"two ways to Elasticsearch": {
			role: "controller", args: "--elasticsearch-secret-dir=/s --elasticsearch-url=https://es:9200", want: []string{"needs one of"},
		},
		"an address that is none": {role: "controller", args: "--elasticsearch-url=es:9200", want: []string{"number 1", "https://host:9200"}},
		"a password in an address": {
			role: "controller", args: "--elasticsearch-url=https://elastic:hunter2@es:9200", want: []string{"credentials", "--elasticsearch-secret-dir"},
		},
		"no file for the embedded store": {role: "all", args: wholeReceiver + "--sqlite-path=", want: []string{"--sqlite-path"}},
		"an address beside the embedded store": {
			role: "all", args: wholeReceiver + "--elasticsearch-url=https://es:9200", want: []string{"need --store=elasticsearch"},
		},
	}
}

func TestServeOptions(t *testing.T) {
	for name, test := range serveCases() {
		t.Run(name, func(t *testing.T) {
			o := newServeOptions(test.role)
			cmd := &cobra.Command{}
			o.addFlags(cmd)
			err := parse(t, o.validate, cmd, strings.Fields(test.args)...)
			if len(test.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, &usageError{}) {
				t.Fatalf("%v is no usage error", err)
			}
			rest := err.Error()
			for _, part := range test.want {
				at := strings.Index(rest, part)
				if at < 0 {
					t.Fatalf("%q is missing or out of order in\n%v", part, err)
				}
				rest = rest[at:]
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the password is in the error")
			}
		})
	}
}

func TestClientClusters(t *testing.T) {
	o := newIngestOptions()
	o.clientClusters = []string{"CN=odd=prod", "CN=odd=test", "other=dev"}
	got, err := o.clusters()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{"CN=odd": {"prod", "test"}, "other": {"dev"}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTrustedProxies(t *testing.T) {
	o := newEventOptions()
	o.trustedProxies = []string{"10.0.0.0/8", "192.0.2.1", "2001:db8::/32"}
	got, err := o.proxies()
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, network := range got {
		texts = append(texts, network.String())
	}
	if diff := cmp.Diff([]string{"10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"}, texts); diff != "" {
		t.Error(diff)
	}
}

func TestFlagsFromEnvironment(t *testing.T) {
	tests := map[string]struct {
		args    []string
		env     map[string]string
		want    string
		wantErr string
	}{
		"the default":                        {want: "local"},
		"a variable":                         {env: map[string]string{"AUDITQUERY_CLUSTER_NAME": "prod"}, want: "prod"},
		"an empty variable counts":           {env: map[string]string{"AUDITQUERY_CLUSTER_NAME": ""}, want: ""},
		"the command line stands above it":   {args: []string{"--cluster-name=test"}, env: map[string]string{"AUDITQUERY_CLUSTER_NAME": "prod"}, want: "test"},
		"a variable that cannot be the flag": {env: map[string]string{"AUDITQUERY_LEADER_ELECT": "perhaps"}, wantErr: "AUDITQUERY_LEADER_ELECT", want: "local"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
			o, m := newClusterOptions(), &managerOptions{}
			o.addFlags(flags)
			m.addFlags(flags, true)
			if err := flags.Parse(test.args); err != nil {
				t.Fatal(err)
			}
			err := flagsFromEnvironment(flags, func(name string) (string, bool) {
				value, ok := test.env[name]
				return value, ok
			})
			if (err == nil) != (test.wantErr == "") || (err != nil && !strings.Contains(err.Error(), test.wantErr)) {
				t.Errorf("error %v, want %q", err, test.wantErr)
			}
			if o.name != test.want {
				t.Errorf("the cluster is %q, want %q", o.name, test.want)
			}
		})
	}
}
