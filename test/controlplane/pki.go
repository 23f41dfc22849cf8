package controlplane

import (
	"os"
	"path/filepath"

	"auditquery.dev/auditquery/test/certs"
)

const (
	dirPKI  = "pki"
	dirLogs = "logs"
)

// pki is every certificate of one control plane: three authorities, so that
// neither an etcd client nor the aggregator's proxy passes for a user.
type pki struct {
	cluster *certs.CA

	admin             certs.Pair
	controllerManager certs.Pair
}

// Names of the files in the pki directory.
const (
	fileClusterCA       = "ca.crt"
	fileRequestHeaderCA = "requestheader-ca.crt"
	fileEtcdCA          = "etcd-ca.crt"
	fileSigningKey      = "service-account.key"
	fileVerifyingKey    = "service-account.pub"

	nameServing    = "apiserver"
	nameProxy      = "proxy-client"
	nameEtcd       = "etcd"
	nameEtcdClient = "etcd-client"

	// proxyCommonName is what kube-apiserver calls itself towards aggregated
	// servers; they learn it from a ConfigMap that it publishes.
	proxyCommonName = "front-proxy-client"
)

func newPKI(dir string) (*pki, error) {
	cluster, err := certs.NewCA("auditquery-cluster-ca")
	if err != nil {
		return nil, err
	}
	result := &pki{cluster: cluster}
	if result.admin, err = cluster.IssueClient("admin", "system:masters"); err != nil {
		return nil, err
	}
	if result.controllerManager, err = cluster.IssueClient("system:kube-controller-manager"); err != nil {
		return nil, err
	}
	for _, step := range []func(string, *certs.CA) error{writeServing, writeProxy, writeEtcd, writeSigningKeys} {
		if err := step(dir, cluster); err != nil {
			return nil, err
		}
	}
	return result, nil
}

func writeServing(dir string, cluster *certs.CA) error {
	serving, err := cluster.IssueServing(
		"kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "kubernetes.default", "kubernetes",
		"localhost", "127.0.0.1", "::1", serviceIP)
	if err != nil {
		return err
	}
	return write(dir, cluster, fileClusterCA, serving, nameServing)
}

func writeProxy(dir string, _ *certs.CA) error {
	authority, err := certs.NewCA("auditquery-requestheader-ca")
	if err != nil {
		return err
	}
	client, err := authority.IssueClient(proxyCommonName)
	if err != nil {
		return err
	}
	return write(dir, authority, fileRequestHeaderCA, client, nameProxy)
}

// writeEtcd lets only kube-apiserver talk to etcd: whoever writes there is
// above every rule of the cluster, and 127.0.0.1 is open to all local users.
func writeEtcd(dir string, _ *certs.CA) error {
	authority, err := certs.NewCA("auditquery-etcd-ca")
	if err != nil {
		return err
	}
	peer, err := authority.IssuePeer("localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	if err := write(dir, authority, fileEtcdCA, peer, nameEtcd); err != nil {
		return err
	}
	client, err := authority.IssueClient("kube-apiserver")
	if err != nil {
		return err
	}
	_, _, err = client.Write(dir, nameEtcdClient)
	return err
}

func writeSigningKeys(dir string, _ *certs.CA) error {
	private, public, err := certs.NewKeyPair()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, fileSigningKey), private, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fileVerifyingKey), public, 0o600)
}

func write(dir string, authority *certs.CA, caFile string, pair certs.Pair, name string) error {
	if err := os.WriteFile(filepath.Join(dir, caFile), authority.CertPEM(), 0o600); err != nil {
		return err
	}
	_, _, err := pair.Write(dir, name)
	return err
}
