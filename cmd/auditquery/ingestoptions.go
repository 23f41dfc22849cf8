package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"auditquery.dev/auditquery/internal/ingest"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// eventOptions say how audit events become records, wherever they come from.
type eventOptions struct {
	trustedProxies []string
	storeBodies    bool
	ownUsernames   []string
}

func newEventOptions() *eventOptions {
	return &eventOptions{
		ownUsernames: []string{
			"system:serviceaccount:" + systemNamespace + ":auditquery-controller",
			"system:serviceaccount:" + systemNamespace + ":auditquery-apiserver",
		},
	}
}

func (o *eventOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringSliceVar(&o.trustedProxies, "trusted-proxies", o.trustedProxies,
		"networks, as 10.0.0.0/8, whose addresses are passed over when a request's source is looked for")
	flags.BoolVar(&o.storeBodies, "store-bodies", o.storeBodies,
		"keep request and response bodies of audit events that have them, secrets scrubbed")
	flags.StringSliceVar(&o.ownUsernames, "own-usernames", o.ownUsernames,
		"the accounts of this server: their writes of AuditQuery status, leases and token reviews are not stored")
}

func (o *eventOptions) validate() []error {
	_, err := o.proxies()
	if err != nil {
		return []error{err}
	}
	return nil
}

func (o *eventOptions) proxies() ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, text := range o.trustedProxies {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			addr, addrErr := netip.ParseAddr(text)
			if addrErr != nil {
				return nil, fmt.Errorf("--trusted-proxies: %q is neither a network such as 10.0.0.0/8 nor an address", text)
			}
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
		networks = append(networks, network)
	}
	return networks, nil
}

// complete returns what package record takes. Validate was called.
func (o *eventOptions) complete(ownCluster string) record.KubernetesOptions {
	proxies, _ := o.proxies()
	return record.KubernetesOptions{
		OwnCluster: ownCluster, TrustedProxies: proxies, StoreBodies: o.storeBodies, OwnUsernames: o.ownUsernames,
	}
}

// ingestOptions say how audit events are received.
type ingestOptions struct {
	address        string
	files          ingest.TLSFiles
	clientClusters []string
	deadLetters    string
	deadLetterSize int64
	maxBodies      int
	events         *eventOptions
}

func newIngestOptions() *ingestOptions {
	return &ingestOptions{
		address: "127.0.0.1:8444", deadLetters: "auditquery-dead-letters.jsonl",
		deadLetterSize: ingest.DefaultDeadLetterBytes, maxBodies: ingest.DefaultMaxBodies, events: newEventOptions(),
	}
}

func (o *ingestOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.address, "ingest-address", o.address,
		"where the audit webhook of kube-apiserver is served, at https://ADDRESS/ingest/kubernetes/CLUSTER; empty: nowhere")
	flags.StringVar(&o.files.Cert, "ingest-tls-cert-file", o.files.Cert, "the certificate of that address, PEM; read again when it changes")
	flags.StringVar(&o.files.Key, "ingest-tls-key-file", o.files.Key, "its key, PEM")
	flags.StringVar(&o.files.ClientCA, "ingest-client-ca-file", o.files.ClientCA,
		"the authorities of the senders' certificates, PEM; a certificate's common name is the cluster that it may send for")
	flags.StringSliceVar(&o.clientClusters, "ingest-client-clusters", o.clientClusters,
		"exceptions to that, as COMMON-NAME=CLUSTER")
	flags.StringVar(&o.deadLetters, "dead-letter-file", o.deadLetters, "where events are kept that cannot be stored")
	flags.Int64Var(&o.deadLetterSize, "dead-letter-max-bytes", o.deadLetterSize,
		"the size at which that file is put aside; three such files are kept beside it")
	flags.IntVar(&o.maxBodies, "ingest-max-bodies", o.maxBodies, "how many batches are taken in at once")
	o.events.addFlags(flags)
}

func (o *ingestOptions) enabled() bool { return o.address != "" }

func (o *ingestOptions) validate() []error {
	if !o.enabled() {
		return nil
	}
	all := o.events.validate()
	all = append(all, address("--ingest-address", o.address)...)
	for _, file := range []struct{ flag, path, what string }{
		{"--ingest-tls-cert-file", o.files.Cert, "the receiver's certificate"},
		{"--ingest-tls-key-file", o.files.Key, "the key of the receiver's certificate"},
		{"--ingest-client-ca-file", o.files.ClientCA, "the authorities of the senders' certificates"},
		{"--dead-letter-file", o.deadLetters, "the file for events that cannot be stored"},
	} {
		if file.path == "" {
			all = append(all, fmt.Errorf("%s is missing: it names %s (or turn the receiver off with --ingest-address=)", file.flag, file.what))
		}
	}
	if _, err := o.clusters(); err != nil {
		all = append(all, err)
	}
	if o.maxBodies < 1 || o.maxBodies > 1000 {
		all = append(all, fmt.Errorf("--ingest-max-bodies is %d; it lies between 1 and 1000", o.maxBodies))
	}
	if o.deadLetterSize < 1<<20 {
		all = append(all, fmt.Errorf("--dead-letter-max-bytes is %d; it is at least %d", o.deadLetterSize, 1<<20))
	}
	return all
}

func (o *ingestOptions) clusters() (map[string][]string, error) {
	clusters := map[string][]string{}
	for _, text := range o.clientClusters {
		at := strings.LastIndexByte(text, '=') // a common name may hold one
		if at < 1 || len(clusterName("", text[at+1:])) > 0 {
			return nil, fmt.Errorf("--ingest-client-clusters: %q is not of the form COMMON-NAME=CLUSTER", text)
		}
		clusters[text[:at]] = append(clusters[text[:at]], text[at+1:])
	}
	return clusters, nil
}

// receiver is a receiver ready to be started, and what it holds open.
type receiver struct {
	server  *ingest.Server
	letters *ingest.DeadLetters
}

func (r *receiver) close() error { return errors.Join(r.server.Close(), r.letters.Close()) }

// complete opens the address and the dead letters. Validate was called.
func (o *ingestOptions) complete(ownCluster string, writer store.Writer, registry prometheus.Registerer, log logr.Logger) (*receiver, error) {
	clusters, err := o.clusters()
	if err != nil {
		return nil, err
	}
	letters, err := ingest.OpenDeadLetters(ingest.DeadLetterOptions{
		Path: o.deadLetters, MaxBytes: o.deadLetterSize, Registry: registry, Log: log,
	})
	if err != nil {
		return nil, err
	}
	handler, err := ingest.NewReceiver(ingest.ReceiverOptions{
		Writer: writer, Letters: letters, Events: o.events.complete(ownCluster), ClientClusters: clusters,
		MaxBodies: o.maxBodies, Registry: registry, Log: log,
	})
	if err != nil {
		return nil, errors.Join(err, letters.Close())
	}
	server, err := ingest.NewServer(o.address, o.files, handler, log)
	if err != nil {
		return nil, errors.Join(err, letters.Close())
	}
	return &receiver{server: server, letters: letters}, nil
}

func address(flag, text string) []error {
	if _, _, err := net.SplitHostPort(text); err != nil {
		return []error{fmt.Errorf("%s is %q; write it as 127.0.0.1:8444 or :8444", flag, text)}
	}
	return nil
}
