package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"auditquery.dev/auditquery/test/controlplane"
	"auditquery.dev/auditquery/test/elastic"
	"auditquery.dev/auditquery/test/loopback"
	"auditquery.dev/auditquery/test/process"
)

func (d *demo) startElasticsearch(ctx context.Context) error {
	if d.store != storeElasticsearch {
		d.detail("not needed: the store is embedded (STORE=elasticsearch takes a real one)")
		return nil
	}
	var err error
	d.elastic, err = elastic.Start(ctx, elastic.Options{Progress: func(line string) { d.detail("%s", line) }})
	return err
}

// startControlPlane starts the cluster first: its audit webhook tries again
// until the receiver is up.
func (d *demo) startControlPlane(ctx context.Context) error {
	ports, err := loopback.Ports(3)
	if err != nil {
		return err
	}
	d.ingestPort, d.probePort, d.apiPort = ports[0], ports[1], ports[2]
	policy, err := os.ReadFile(d.source("config", "ingest", "audit-policy.yaml"))
	if err != nil {
		return err
	}
	client, err := d.ca.IssueClient(clusterName)
	if err != nil {
		return err
	}
	d.control, err = controlplane.Start(ctx, controlplane.Options{
		Dir:      d.path("controlplane"),
		Progress: func(line string) { d.detail("%s", line) },
		Audit: &controlplane.Audit{
			Policy: policy,
			Webhook: &controlplane.Webhook{
				URL:           d.ingestURL() + "/ingest/kubernetes/" + clusterName,
				CAPEM:         d.ca.CertPEM(),
				ClientCertPEM: client.CertPEM,
				ClientKeyPEM:  client.KeyPEM,
			},
		},
	})
	if err != nil {
		return err
	}
	kubeconfig, err := os.ReadFile(d.control.Kubeconfig())
	if err != nil {
		return err
	}
	return os.WriteFile(d.path("kubeconfig"), kubeconfig, 0o600)
}

func (d *demo) apiURL() string { return "https://" + loopback.Address(d.apiPort) }

func (d *demo) ingestURL() string { return "https://" + loopback.Address(d.ingestPort) }

func (d *demo) startServer(ctx context.Context) error {
	serving, err := d.ca.IssueServing("localhost", "127.0.0.1", apiService+"."+systemNamespace+".svc")
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"server.crt": serving.CertPEM, "server.key": serving.KeyPEM} {
		if err := os.WriteFile(d.path(name), content, 0o600); err != nil {
			return err
		}
	}
	if err := d.control.WriteKubeconfig(d.path("server.kubeconfig"), "system:serviceaccount:"+systemNamespace+":"+account,
		"system:serviceaccounts", "system:serviceaccounts:"+systemNamespace, "system:authenticated"); err != nil {
		return err
	}
	d.server, err = process.Start(process.Spec{
		Name: "auditquery", Path: d.source("bin", "auditquery"), LogPath: d.path("server.log"),
		Args: append([]string{
			"all",
			"--kubeconfig=" + d.path("server.kubeconfig"),
			"--cluster-name=" + clusterName,
			"--ingest-address=" + loopback.Address(d.ingestPort),
			"--ingest-tls-cert-file=" + d.path("server.crt"),
			"--ingest-tls-key-file=" + d.path("server.key"),
			"--ingest-client-ca-file=" + d.path("ca.crt"),
			"--dead-letter-file=" + d.path("deadletters.jsonl"),
			"--health-address=" + loopback.Address(d.probePort),
			"--bind-address=127.0.0.1",
			fmt.Sprintf("--secure-port=%d", d.apiPort),
			"--tls-cert-file=" + d.path("server.crt"),
			"--tls-private-key-file=" + d.path("server.key"),
			"--shutdown-delay-duration=0s",
		}, d.storeFlags()...),
	})
	if err != nil {
		return err
	}
	return d.server.WaitUntil(ctx, "the server to be ready", func(ctx context.Context) error {
		return get(ctx, "http://"+loopback.Address(d.probePort)+"/readyz")
	})
}

func (d *demo) storeFlags() []string {
	if d.elastic != nil {
		return []string{"--store=elasticsearch", "--elasticsearch-url=" + d.elastic.URL()}
	}
	return []string{"--store=sqlite", "--sqlite-path=" + d.path("auditquery.db")}
}

func get(ctx context.Context, url string) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", response.Status)
	}
	return nil
}
