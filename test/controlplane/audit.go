package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Audit has kube-apiserver write audit events to a webhook, to a file, or both.
type Audit struct {
	// Policy is an audit.k8s.io/v1 Policy in YAML.
	Policy []byte
	// Webhook receives batches of events; nil means none.
	Webhook *Webhook
	// LogPath receives one event a line; empty means none.
	LogPath string
}

// Webhook is a receiver of audit events. It need not be up yet when
// kube-apiserver starts: batches are retried.
type Webhook struct {
	// URL with the whole path.
	URL string
	// CAPEM verifies the receiver.
	CAPEM []byte
	// ClientCertPEM and ClientKeyPEM are what kube-apiserver shows; both or
	// neither.
	ClientCertPEM []byte
	ClientKeyPEM  []byte
	// Batch differs from kube-apiserver's own settings where it is not zero.
	Batch Batch
}

// Batch says when events are sent.
type Batch struct {
	// MaxWait sends an unfilled batch; 0 means 1 s, where kube-apiserver alone
	// would take 30.
	MaxWait time.Duration
	// MaxSize is the most events in a batch.
	MaxSize int
	// BufferSize is how many events wait before they are dropped.
	BufferSize int
	// InitialBackoff is the wait before the first of four more tries; it grows
	// by half each time.
	InitialBackoff time.Duration
}

const (
	defaultMaxWait = time.Second

	filePolicy  = "audit-policy.yaml"
	fileWebhook = "audit-webhook.kubeconfig"
)

func (a *Audit) write(dir string) error {
	if len(a.Policy) == 0 {
		return errors.New("auditing needs a policy")
	}
	if err := os.WriteFile(filepath.Join(dir, filePolicy), a.Policy, 0o600); err != nil {
		return err
	}
	if a.Webhook == nil {
		return nil
	}
	return a.Webhook.write(filepath.Join(dir, fileWebhook))
}

// write puts all certificates into the file itself, so that nothing else has
// to exist when kube-apiserver reads it.
func (w *Webhook) write(path string) error {
	if (len(w.ClientCertPEM) == 0) != (len(w.ClientKeyPEM) == 0) {
		return errors.New("the audit webhook has a client certificate without its key, or a key without its certificate")
	}
	const name = "audit"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: w.URL, CertificateAuthorityData: w.CAPEM}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: w.ClientCertPEM,
		ClientKeyData:         w.ClientKeyPEM,
	}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("write the audit webhook's kubeconfig: %w", err)
	}
	return nil
}

func (a *Audit) flags(dir string) []string {
	flags := []string{"--audit-policy-file=" + filepath.Join(dir, filePolicy)}
	if a.LogPath != "" {
		flags = append(flags, "--audit-log-path="+a.LogPath)
	}
	if a.Webhook == nil {
		return flags
	}
	batch := a.Webhook.Batch
	if batch.MaxWait == 0 {
		batch.MaxWait = defaultMaxWait
	}
	flags = append(flags,
		"--audit-webhook-config-file="+filepath.Join(dir, fileWebhook),
		"--audit-webhook-mode=batch",
		"--audit-webhook-batch-max-wait="+batch.MaxWait.String(),
	)
	if batch.MaxSize > 0 {
		flags = append(flags, "--audit-webhook-batch-max-size="+strconv.Itoa(batch.MaxSize))
	}
	if batch.BufferSize > 0 {
		flags = append(flags, "--audit-webhook-batch-buffer-size="+strconv.Itoa(batch.BufferSize))
	}
	if batch.InitialBackoff > 0 {
		flags = append(flags, "--audit-webhook-initial-backoff="+batch.InitialBackoff.String())
	}
	return flags
}
