package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"

	"auditquery.dev/auditquery/internal/ingest"
	"auditquery.dev/auditquery/internal/record"
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
			"system:serviceaccount:" + systemNamespace + ":auditquery-ingest",
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

// ingestOptions say how records are taken in.
type ingestOptions struct {
	address        string
	files          ingest.TLSFiles
	clientClusters []string
	clientOrgs     []string
	tokens         bool
	anyone         bool
	memory         resource.QuantityValue

	spoolDir     string
	spoolBytes   resource.QuantityValue
	segmentBytes resource.QuantityValue
	letterDir    string
	letterBytes  resource.QuantityValue
	events       *eventOptions
}

func newIngestOptions() *ingestOptions {
	return &ingestOptions{
		address: "127.0.0.1:8444", tokens: true, memory: quantity("64Mi"),
		spoolDir: "auditquery-spool", spoolBytes: quantity("8Gi"), segmentBytes: quantity("64Mi"),
		letterDir: "auditquery-dead-letters", letterBytes: quantity("1Gi"), events: newEventOptions(),
	}
}

func quantity(text string) resource.QuantityValue {
	return resource.QuantityValue{Quantity: resource.MustParse(text)}
}

func (o *ingestOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.address, "ingest-address", o.address,
		"where records are taken in, by TLS, as 0.0.0.0:8444; empty: nowhere")
	flags.StringVar(&o.files.Cert, "ingest-tls-cert-file", o.files.Cert, "the certificate of that address, PEM; read again when it changes")
	flags.StringVar(&o.files.Key, "ingest-tls-key-file", o.files.Key, "its key, PEM")
	flags.StringVar(&o.files.ClientCA, "ingest-client-ca-file", o.files.ClientCA,
		"the authorities of the senders' certificates, PEM; a certificate's common name is the cluster that it may send audit events of")
	flags.StringSliceVar(&o.clientClusters, "ingest-client-clusters", o.clientClusters,
		"exceptions to that, as COMMON-NAME=CLUSTER")
	flags.StringSliceVar(&o.clientOrgs, "ingest-client-orgs", o.clientOrgs,
		"whose records a certificate may send besides, as COMMON-NAME=ORG; COMMON-NAME=* means every organisation's")
	flags.BoolVar(&o.tokens, "ingest-tokens", o.tokens, "take senders with a Bearer token of the cluster, which is asked what they may")
	flags.BoolVar(&o.anyone, "ingest-allow-anyone-to-write-audit-records", o.anyone,
		"take records from whoever reaches the address, so that nobody can rely on any of them")
	flags.Var(&o.memory, "ingest-memory-bytes", "what requests in hand may hold in memory together; beyond it senders are told to come again")
	flags.StringVar(&o.spoolDir, "spool-dir", o.spoolDir, "the folder of what was acknowledged and is not in the store yet; on a disk that outlives the process")
	flags.Var(&o.spoolBytes, "spool-max-bytes", "the size of the spool at which senders are told to come again")
	flags.Var(&o.segmentBytes, "spool-segment-bytes", "the size of one of its files")
	flags.StringVar(&o.letterDir, "dead-letter-dir", o.letterDir, "the folder of what cannot be stored, for the command deadletter")
	flags.Var(&o.letterBytes, "dead-letter-max-bytes", "the size of that folder at which what cannot be stored stays in the spool")
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
		{"--spool-dir", o.spoolDir, "the folder of what is not in the store yet"},
		{"--dead-letter-dir", o.letterDir, "the folder of what cannot be stored"},
	} {
		if file.path == "" {
			all = append(all, fmt.Errorf("%s is missing: it names %s (or turn the receiver off with --ingest-address=)", file.flag, file.what))
		}
	}
	if o.files.ClientCA == "" && !o.tokens && !o.anyone {
		all = append(all, errors.New("nobody could send: give --ingest-client-ca-file, or leave --ingest-tokens on"))
	}
	if _, err := o.clusters(); err != nil {
		all = append(all, err)
	}
	if _, err := o.orgs(); err != nil {
		all = append(all, err)
	}
	for _, size := range []struct {
		flag  string
		value *resource.QuantityValue
		least int64
	}{
		{"--ingest-memory-bytes", &o.memory, 8 << 20},
		{"--spool-segment-bytes", &o.segmentBytes, 1 << 20},
		{"--spool-max-bytes", &o.spoolBytes, 2 * o.segmentBytes.Value()},
		{"--dead-letter-max-bytes", &o.letterBytes, 1 << 20},
	} {
		if size.value.Value() < size.least {
			all = append(all, fmt.Errorf("%s is %s; it is at least %d bytes", size.flag, size.value, size.least))
		}
	}
	return all
}

// orgs are those that each common name may send records of.
func (o *ingestOptions) orgs() (map[string][]string, error) {
	orgs := map[string][]string{}
	for _, text := range o.clientOrgs {
		at := strings.LastIndexByte(text, '=') // a common name may hold one
		if at < 1 || at == len(text)-1 {
			return nil, fmt.Errorf("--ingest-client-orgs: %q is not of the form COMMON-NAME=ORG", text)
		}
		orgs[text[:at]] = append(orgs[text[:at]], text[at+1:])
	}
	return orgs, nil
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

func address(flag, text string) []error {
	if _, _, err := net.SplitHostPort(text); err != nil {
		return []error{fmt.Errorf("%s is %q; write it as 127.0.0.1:8444 or :8444", flag, text)}
	}
	return nil
}
