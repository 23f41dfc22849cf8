// Package admission_test asks a real kube-apiserver what config/admission lets
// people do to RetentionPolicies and LegalHolds. No controller of ours runs here.
package admission_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/controlplane"
	"auditquery.dev/auditquery/test/repository"
)

// controllerAccount is whom config/rbac has the controller act as.
const controllerAccount = "system:serviceaccount:auditquery-system:auditquery-controller"

// cluster is a control plane with our kinds and admission policies.
type cluster struct {
	*controlplane.ControlPlane
	root string
	// admin may do whatever is not refused by admission.
	admin client.Client
}

func TestAdmission(t *testing.T) {
	c := startCluster(t)
	t.Run("a locked policy can only be lengthened", func(t *testing.T) { testLock(t, c) })
	t.Run("ages are compared as the controller compares them", func(t *testing.T) { testAges(t, c) })
	t.Run("a lock of the greatest size is checked", func(t *testing.T) { testGreatestLock(t, c) })
	t.Run("only the controller releases", func(t *testing.T) { testRelease(t, c) })
	t.Run("tools that delete and apply again", func(t *testing.T) { testGitOps(t, c) })
	t.Run("garbage collection of owned objects", func(t *testing.T) { testGarbageCollection(t, c) })
	// The last one, for the kinds do not come back.
	t.Run("the CRDs are deleted", func(t *testing.T) { testCRDDeletion(t, c) })
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	root, err := repository.Root()
	if err != nil {
		t.Fatal(err)
	}
	log.SetLogger(logr.Discard()) // clients complain otherwise
	c := &cluster{ControlPlane: controlplane.StartForTest(t, controlplane.Options{}), root: root}
	c.admin = c.as(t, "")
	c.kubectl(t, "apply", "--server-side", "-k", c.path("config/crd"))
	c.kubectl(t, "apply", "--server-side", "-k", c.path("config/admission"))
	c.kubectl(t, "wait", "--for=condition=Established", "--timeout=60s", "crd", "retentionpolicies.auditquery.dev", "legalholds.auditquery.dev")
	c.waitForPolicies(t)
	return c
}

// waitForPolicies returns when both policies refuse: they reach the API server's
// cache in their own time.
func (c *cluster) waitForPolicies(t *testing.T) {
	t.Helper()
	probe := policy("probe", "10d", func(p *v1alpha1.RetentionPolicy) { p.Spec.Locked = true })
	c.create(t, probe)
	for name, refused := range map[string]func(*v1alpha1.RetentionPolicy){
		"the lock is there":    func(p *v1alpha1.RetentionPolicy) { p.Spec.Keep = "9d" },
		"the release is there": func(p *v1alpha1.RetentionPolicy) { p.Finalizers = nil },
	} {
		await.Nil(t, name, func(ctx context.Context) error {
			if c.tryUpdate(ctx, c.admin, probe.DeepCopy(), refused) == nil {
				return errors.New("accepted")
			}
			return nil
		})
	}
}

func (c *cluster) path(rel string) string { return filepath.Join(c.root, filepath.FromSlash(rel)) }

func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	stdout, _, err := c.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return stdout
}

// as returns the client of a user whom RBAC lets do everything, as it lets a
// cluster-admin; empty for the administrator himself.
func (c *cluster) as(t *testing.T, user string) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	config := rest.CopyConfig(c.RESTConfig())
	config.QPS = -1
	if user != "" {
		config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters", "system:authenticated"}}
	}
	made, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (c *cluster) create(t *testing.T, obj client.Object) {
	t.Helper()
	if err := c.admin.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

// tryUpdate reads the policy anew, changes it, and asks whether that would be
// accepted.
func (c *cluster) tryUpdate(ctx context.Context, as client.Client, p *v1alpha1.RetentionPolicy, change func(*v1alpha1.RetentionPolicy)) error {
	if err := as.Get(ctx, client.ObjectKeyFromObject(p), p); err != nil {
		return fmt.Errorf("the test can't read: %w", err)
	}
	change(p)
	return as.Update(ctx, p, client.DryRunAll)
}

// policy is one that the controller has seen.
func policy(name, keep string, changes ...func(*v1alpha1.RetentionPolicy)) *v1alpha1.RetentionPolicy {
	p := &v1alpha1.RetentionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{v1alpha1.RetentionFinalizer}},
		Spec:       v1alpha1.RetentionPolicySpec{Keep: keep},
	}
	for _, change := range changes {
		change(p)
	}
	return p
}

// hold is one that the controller has seen.
func hold(name string) *v1alpha1.LegalHold {
	return &v1alpha1.LegalHold{
		ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{v1alpha1.RetentionFinalizer}},
		Spec:       v1alpha1.LegalHoldSpec{Reason: "a case", OrgIDs: []string{"acme", "globex"}},
	}
}

// wantAnswer checks that an answer of the API server is a refusal with this text,
// or none when the text is empty.
func wantAnswer(t *testing.T, err error, want string) bool {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("accepted, want a refusal with %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("the refusal lacks %q: %v", want, err)
	default:
		return true
	}
	return false
}
