package controlplane

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"auditquery.dev/auditquery/test/loopback"
)

const (
	// probeTimeout bounds one question; the polling goes on.
	probeTimeout = 5 * time.Second
	// probeBytes is more than a probe ever answers.
	probeBytes = 64 << 10
)

// waitAPIServer returns when kube-apiserver says that it is ready. It watches
// etcd too: without it kube-apiserver only reports a refused connection.
func (cp *ControlPlane) waitAPIServer(ctx context.Context) error {
	pair, err := cp.pki.admin.TLS()
	if err != nil {
		return err
	}
	client, done := cp.probeClient(pair)
	defer done()
	return cp.apiServer.WaitUntil(ctx, "kube-apiserver is ready", func(ctx context.Context) error {
		probeErr := probe(ctx, client, cp.URL()+"/readyz")
		select {
		case <-cp.etcd.Exited():
			return cp.etcd.Err()
		default:
			return probeErr
		}
	})
}

// waitControllers returns when the controllers have done their first work: the
// default ServiceAccount exists and the role view has rules.
func (cp *ControlPlane) waitControllers(ctx context.Context) error {
	clientset, err := kubernetes.NewForConfig(cp.RESTConfig())
	if err != nil {
		return err
	}
	client, done := cp.probeClient()
	defer done()
	health := "https://" + loopback.Address(cp.ports.controllerManager) + "/healthz"
	return cp.controllerManager.WaitUntil(ctx, "the controllers work", func(ctx context.Context) error {
		if err := probe(ctx, client, health); err != nil {
			return err
		}
		return controllersWorked(ctx, clientset)
	})
}

func controllersWorked(ctx context.Context, clientset kubernetes.Interface) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	_, err := clientset.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("no ServiceAccount default yet: %w", err)
	}
	if err != nil {
		return err
	}
	for _, name := range []string{"view", "edit", "admin"} {
		role, err := clientset.RbacV1().ClusterRoles().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(role.Rules) == 0 {
			return fmt.Errorf("the ClusterRole %s has no rules yet", name)
		}
	}
	return nil
}

func (cp *ControlPlane) probeClient(certificates ...tls.Certificate) (client *http.Client, done func()) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs:      cp.pki.cluster.Pool(),
		Certificates: certificates,
		MinVersion:   tls.VersionTLS12,
	}}
	return &http.Client{Transport: transport, Timeout: probeTimeout}, transport.CloseIdleConnections
}

func probe(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, probeBytes))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", url, response.Status, body)
	}
	return nil
}
