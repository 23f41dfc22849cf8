package controlplane_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"auditquery.dev/auditquery/test/certs"
	"auditquery.dev/auditquery/test/controlplane"
	"auditquery.dev/auditquery/test/loopback"
)

const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
`

const admissionPolicy = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: names}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}
  validations:
  - expression: "object.metadata.name != 'forbidden'"
    message: that name is taken
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: names}
spec: {policyName: names, validationActions: [Deny]}
`

// beParent runs a control plane until it is killed.
func beParent(dir string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cp, err := controlplane.Start(ctx, controlplane.Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	pids := cp.PIDs()
	fmt.Println(pids["etcd"], pids["kube-apiserver"], pids["kube-controller-manager"])
	<-cp.APIServer().Exited()
	return 0
}

// receiver is a webhook that demands a client certificate and remembers what it
// was told.
type receiver struct {
	address string
	ca      *certs.CA
	client  certs.Pair

	mutex   sync.Mutex
	events  map[string]bool
	failure error
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	ca, err := certs.NewCA("receiver")
	if err != nil {
		t.Fatal(err)
	}
	client, err := ca.IssueClient("cluster-one")
	if err != nil {
		t.Fatal(err)
	}
	ports, err := loopback.Ports(1)
	if err != nil {
		t.Fatal(err)
	}
	return &receiver{address: loopback.Address(ports[0]), ca: ca, client: client, events: map[string]bool{}}
}

func (r *receiver) webhook() *controlplane.Webhook {
	return &controlplane.Webhook{
		URL:           "https://" + r.address + "/clusters/one/audit",
		CAPEM:         r.ca.CertPEM(),
		ClientCertPEM: r.client.CertPEM,
		ClientKeyPEM:  r.client.KeyPEM,
		Batch:         controlplane.Batch{InitialBackoff: 500 * time.Millisecond},
	}
}

func (r *receiver) start(t *testing.T) {
	t.Helper()
	pair, err := r.ca.IssueServing("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second, TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{certificate},
		ClientCAs:    r.ca.Pool(),
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

func (r *receiver) ServeHTTP(_ http.ResponseWriter, request *http.Request) {
	var list auditv1.EventList
	err := json.NewDecoder(request.Body).Decode(&list)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if err != nil {
		r.failure = err
		return
	}
	for i := range list.Items {
		if ref := list.Items[i].ObjectRef; ref != nil {
			r.events[list.Items[i].Verb+" "+ref.Name] = true
		}
	}
}

func (r *receiver) saw(name, verb string) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.events[verb+" "+name]
}

func (r *receiver) err() error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.failure
}
