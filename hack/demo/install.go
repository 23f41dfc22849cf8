package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
)

const (
	systemNamespace = "auditquery-system"
	account         = "auditquery-controller"
	apiService      = "auditquery-apiserver"
)

// install applies what a cluster gets, but for the APIServices: while their server
// is not up they would hide every resource of the cluster from some clients. No
// pod runs here, for there is no kubelet; the server is started by hand, with the
// rights of the ServiceAccounts.
func (d *demo) install(ctx context.Context) error {
	if err := d.apply(ctx, "cluster", withoutAPIServices); err != nil {
		return err
	}
	_, err := d.kubectl(ctx, "wait", "--for=condition=Established", "--timeout=30s", "crd",
		"auditqueries.auditquery.dev", "clusterauditqueries.auditquery.dev", "audittenants.auditquery.dev")
	return err
}

// register tells the kube-apiserver of our server, which must be up: otherwise it
// takes half a minute until it is asked again.
func (d *demo) register(ctx context.Context) error {
	patches := fmt.Sprintf(withAPIServices, apiService, systemNamespace, d.apiPort,
		base64.StdEncoding.EncodeToString(d.ca.CertPEM()))
	if err := d.apply(ctx, "cluster", patches); err != nil {
		return err
	}
	_, err := d.kubectl(ctx, "wait", "--for=condition=Available", "--timeout=60s", "apiservice",
		"v1alpha1.records.auditquery.dev", "v1.rest.auditquery.dev")
	return err
}

// apply applies config/default with patches.
func (d *demo) apply(ctx context.Context, name, patches string) error {
	dir := d.path(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	base, err := filepath.Rel(dir, d.source("config", "default"))
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
	_, err = d.kubectl(ctx, "apply", "--server-side", "-k", dir)
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
// here both are one process.
const oneProcess = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: demo-apiserver}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: auditquery-apiserver}
subjects: [{kind: ServiceAccount, name: auditquery-controller, namespace: auditquery-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: demo-auth-delegator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:auth-delegator}
subjects: [{kind: ServiceAccount, name: auditquery-controller, namespace: auditquery-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: demo-auth-reader, namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: extension-apiserver-authentication-reader}
subjects: [{kind: ServiceAccount, name: auditquery-controller, namespace: auditquery-system}]
`

// makeToken makes an account that may read every record, and its token.
func (d *demo) makeToken(ctx context.Context) error {
	const reader = "auditor"
	if _, err := d.kubectl(ctx, "create", "serviceaccount", reader, "-n", systemNamespace); err != nil {
		return err
	}
	if _, err := d.kubectl(ctx, "create", "clusterrolebinding", reader, "--clusterrole=auditquery-reader",
		"--serviceaccount="+systemNamespace+":"+reader); err != nil {
		return err
	}
	var err error
	d.token, err = d.kubectl(ctx, "create", "token", reader, "-n", systemNamespace)
	return err
}
