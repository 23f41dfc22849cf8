// Package security_test asks a whole cluster who sees what: through the real
// kube-apiserver and on the server's own address, with the roles of
// kube-controller-manager and our own.
package security_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/stage"
)

// shared is one cluster for all tests: shop and bank, whose organisations are acme
// and globex, and initech, which nobody claims.
var shared = stage.NewShared(stage.Options{}, nil).WithSetup(furnish)

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

const (
	// people is the namespace of the accounts that ask.
	people = "people"
	// clusterReader may read everything.
	clusterReader = "cluster-reader"
	// queriesOnly is a role that writes queries and lists no records.
	queriesOnly = "queries-only"
)

// furnishings binds every role before anybody asks anything: a server keeps an
// answer of the authorizer for ten seconds.
const furnishings = `
apiVersion: v1
kind: Namespace
metadata: {name: people}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: bank}
---
apiVersion: auditquery.dev/v1alpha1
kind: AuditTenant
metadata: {name: shop}
spec: {namespace: shop, orgIDs: [acme]}
---
apiVersion: auditquery.dev/v1alpha1
kind: AuditTenant
metadata: {name: bank}
spec: {namespace: bank, orgIDs: [globex]}
---
apiVersion: auditquery.dev/v1alpha1
kind: AuditQuery
metadata: {name: standing, namespace: shop}
spec: {audits: {action: update}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: queries-only}
rules:
- {apiGroups: [auditquery.dev], resources: [auditqueries, clusterauditqueries], verbs: [create, update, patch]}
`

func furnish(ctx context.Context, s *stage.Stage) error {
	if _, _, err := s.ControlPlane().KubectlInput(ctx, strings.NewReader(furnishings), "apply", "--server-side", "-f", "-"); err != nil {
		return err
	}
	for _, person := range whoMayWhat() {
		if err := person.bind(ctx, s); err != nil {
			return err
		}
	}
	for _, person := range whoMayWhat() {
		if err := person.waitBound(ctx, s); err != nil {
			return err
		}
	}
	return s.Append(ctx, firstRecords()...)
}

// bind gives the person's role to the person's account.
func (a asker) bind(ctx context.Context, s *stage.Stage) error {
	if a.role == "" {
		return nil
	}
	args := []string{"create", "clusterrolebinding", a.name, "--clusterrole=" + a.role, "--serviceaccount=" + people + ":" + a.name}
	if a.in != "" {
		args[1] = "rolebinding"
		args = append(args, "--namespace="+a.in)
	}
	_, _, err := s.ControlPlane().Kubectl(ctx, args...)
	return err
}

// waitBound waits until the kube-apiserver goes by the binding of a role of ours.
func (a asker) waitBound(ctx context.Context, s *stage.Stage) error {
	ours := strings.HasPrefix(a.role, "auditquery-")
	if !ours && a.role != queriesOnly {
		return nil
	}
	client, err := kubernetes.NewForConfig(s.ControlPlane().RESTConfig())
	if err != nil {
		return err
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + people + ":" + a.name,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "list", Group: "rest.auditquery.dev", Resource: "audits", Namespace: a.in},
	}}
	if !ours {
		review.Spec.ResourceAttributes = &authorizationv1.ResourceAttributes{Verb: "create", Group: "auditquery.dev", Resource: "auditqueries"}
	}
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		got, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && got.Status.Allowed, err
	})
	if err != nil {
		return fmt.Errorf("wait until the binding of %s is known: %w", a.name, err)
	}
	return nil
}

// firstRecords are an audit and an auth audit of each organisation, and of what
// happened in the namespaces shop and bank.
func firstRecords() []record.Record {
	var all []record.Record
	for _, org := range []string{"acme", "globex", "initech"} {
		all = append(all, imported(org, time.Now())...)
	}
	for _, namespace := range []string{"shop", "bank"} {
		all = append(all, happened(namespace, time.Now())...)
	}
	return all
}

// imported are an audit and an auth audit of an organisation.
func imported(org string, at time.Time) []record.Record {
	return both(at, func(c *record.Common) { c.OrgID = org })
}

// happened are what the cluster's own audit events of a namespace become.
func happened(namespace string, at time.Time) []record.Record {
	return both(at, func(c *record.Common) {
		c.SourceType, c.Cluster, c.OrgID = record.SourceKubernetes, "local", namespace
	})
}

// both are an audit and an auth audit of a time.
func both(at time.Time, change func(*record.Common)) []record.Record {
	all := []record.Record{
		builders.Audit(func(a *record.Audit) { a.Time = record.At(at); change(&a.Common) }),
		builders.AuthAudit(func(a *record.AuthAudit) { a.Time = record.At(at); change(&a.Common) }),
	}
	for _, r := range all {
		r.Base().Time = record.At(at) // builders know only their own time
	}
	return all
}
