package stage

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// APIServices are the names of those that are ours.
func APIServices() []string {
	return []string{"v1alpha1.records.auditquery.dev", "v1.rest.auditquery.dev"}
}

// Install applies config/default, but for the APIServices: while their server is
// not up they would hide every resource of the cluster from some clients. No pod
// runs here, for there is no kubelet.
func (s *Stage) Install(ctx context.Context) error {
	if err := s.apply(ctx, withoutAPIServices); err != nil {
		return err
	}
	return s.kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd",
		"auditqueries.auditquery.dev", "clusterauditqueries.auditquery.dev", "audittenants.auditquery.dev",
		"retentionpolicies.auditquery.dev", "legalholds.auditquery.dev")
}

// Registration says where the kube-apiserver finds our API.
type Registration struct {
	// Port is on this machine; 0 means that of the first server with an API.
	Port int
	// CABundle is PEM; nil means the stage's own authority.
	CABundle []byte
	// NoWait returns before the APIServices are Available.
	NoWait bool
}

// Register tells the kube-apiserver of our API, or of its new place. What it finds
// there should be up: otherwise it takes half a minute until it is asked again.
func (s *Stage) Register(ctx context.Context, r Registration) error {
	if r.Port == 0 {
		r.Port = s.frontPort()
	}
	if r.CABundle == nil {
		r.CABundle = s.ca.CertPEM()
	}
	patches := fmt.Sprintf(withAPIServices, serviceName, SystemNamespace, r.Port, base64.StdEncoding.EncodeToString(r.CABundle))
	if err := s.apply(ctx, patches); err != nil || r.NoWait {
		return err
	}
	return s.WaitAvailable(ctx)
}

// WaitAvailable waits a minute at most until the APIServices are Available.
func (s *Stage) WaitAvailable(ctx context.Context) error {
	return s.kubectl(ctx, slices.Concat([]string{"wait", "--for=condition=Available", "--timeout=60s", "apiservice"}, APIServices())...)
}

// frontPort is that of the first server with an API, 0 if there is none.
func (s *Stage) frontPort() int {
	for _, server := range s.servers {
		if server.servesAPI() {
			return server.ports.api
		}
	}
	return 0
}

// apply applies config/default with patches.
func (s *Stage) apply(ctx context.Context, patches string) error {
	dir := s.path("cluster")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	base, err := filepath.Rel(dir, s.source("config", "default"))
	if err != nil {
		return err
	}
	for file, content := range map[string]string{
		"kustomization.yaml": "resources: [" + base + ", rights.yaml]\n" + patches, "rights.yaml": oneProcess,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return s.kubectl(ctx, "apply", "--server-side", "-k", dir)
}

func (s *Stage) kubectl(ctx context.Context, args ...string) error {
	_, _, err := s.control.Kubectl(ctx, args...)
	return err
}

const withoutAPIServices = `patches:
- target: {kind: APIService}
  patch: |-
    $patch: delete
    apiVersion: apiregistration.k8s.io/v1
    kind: APIService
    metadata: {name: any}
`

// withAPIServices leads the kube-apiserver to a server on this machine: an
// ExternalName stands in for pods.
const withAPIServices = `patches:
- patch: |-
    apiVersion: v1
    kind: Service
    metadata: {name: %s, namespace: %s}
    spec: {type: ExternalName, externalName: localhost, selector: null, ports: null}
- target: {kind: APIService}
  patch: |-
    - {op: replace, path: /spec/service/port, value: %d}
    - {op: replace, path: /spec/caBundle, value: %s}
`

// oneProcess gives the controller's account the rights of the API server as well:
// with the role all both are one process.
const oneProcess = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: one-process-apiserver}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: auditquery-apiserver}
subjects: [{kind: ServiceAccount, name: auditquery-controller, namespace: auditquery-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: one-process-auth-delegator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:auth-delegator}
subjects: [{kind: ServiceAccount, name: auditquery-controller, namespace: auditquery-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: one-process-auth-reader, namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: extension-apiserver-authentication-reader}
subjects: [{kind: ServiceAccount, name: auditquery-controller, namespace: auditquery-system}]
`
