package admission_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/test/await"
)

// onlyControllerReleases is what others are told.
const onlyControllerReleases = "only the controller removes the finalizer auditquery.dev/retention"

func testRelease(t *testing.T, c *cluster) {
	for kind, obj := range map[string]client.Object{"a policy": policy("released", "1y"), "a hold": hold("released")} {
		t.Run(kind, func(t *testing.T) {
			c.create(t, obj)
			wantOnlyControllerReleases(t, c, obj)
			if err := c.admin.Delete(t.Context(), obj); err != nil {
				t.Fatal(err)
			}
			wantOnlyControllerReleases(t, c, obj)
			testDeletingSpec(t, c, obj)
			c.release(t, obj)
		})
	}
}

// wantOnlyControllerReleases tries to take the finalizer off in every way.
func wantOnlyControllerReleases(t *testing.T, c *cluster, obj client.Object) {
	t.Helper()
	unfinished := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
	for name, user := range map[string]string{
		"the administrator":                     "",
		"the API server's account":              "system:serviceaccount:auditquery-system:auditquery-apiserver",
		"an account of the same name elsewhere": "system:serviceaccount:default:auditquery-controller",
		"the garbage collector":                 "system:serviceaccount:kube-system:generic-garbage-collector",
	} {
		as := c.as(t, user)
		current := c.read(t, obj)
		if !wantAnswer(t, as.Patch(t.Context(), current, unfinished), onlyControllerReleases) {
			t.Errorf("that was %s", name)
		}
		current = c.read(t, obj)
		controllerutil.RemoveFinalizer(current, v1alpha1.RetentionFinalizer)
		wantAnswer(t, as.Update(t.Context(), current), onlyControllerReleases)
	}
	current := c.read(t, obj)
	current.SetFinalizers(nil)
	if err := c.admin.Status().Update(t.Context(), current); err != nil {
		t.Fatal(err)
	}
	if !controllerutil.ContainsFinalizer(c.read(t, obj), v1alpha1.RetentionFinalizer) {
		t.Error("a write of status took the finalizer off")
	}
}

// testDeletingSpec: the spec of what is being deleted says until when it keeps.
func testDeletingSpec(t *testing.T, c *cluster, obj client.Object) {
	t.Helper()
	const frozen = "the object is being deleted, so its spec can't change any more"
	for _, tc := range []struct{ patch, want string }{
		{patch: `{"metadata":{"annotations":{"` + v1alpha1.KeepAnnotation + `":"true"}}}`},
		{patch: `{"metadata":{"annotations":{"` + v1alpha1.KeepAnnotation + `":null}}}`},
		{patch: `{"spec":{"orgIDs":["initech"]}}`, want: frozen},
		{patch: `{"spec":{"records":["Audit"]}}`, want: frozen},
	} {
		wantAnswer(t, c.admin.Patch(t.Context(), c.read(t, obj), client.RawPatch(types.MergePatchType, []byte(tc.patch))), tc.want)
	}
}

// release does what the controller does, and waits until the object is gone.
func (c *cluster) release(t *testing.T, obj client.Object) {
	t.Helper()
	current := c.read(t, obj)
	controllerutil.RemoveFinalizer(current, v1alpha1.RetentionFinalizer)
	if err := c.as(t, controllerAccount).Update(t.Context(), current); err != nil {
		t.Fatal(err)
	}
	c.waitGone(t, obj)
}

func (c *cluster) waitGone(t *testing.T, obj client.Object) {
	t.Helper()
	await.Nil(t, obj.GetName()+" is gone", func(ctx context.Context) error {
		err := c.admin.Get(ctx, client.ObjectKeyFromObject(obj), obj.DeepCopyObject().(client.Object))
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("it is there"), err)
	})
}

func (c *cluster) waitDeleting(t *testing.T, obj client.Object) {
	t.Helper()
	await.Nil(t, fmt.Sprintf("%T %s is being deleted", obj, obj.GetName()), func(ctx context.Context) error {
		current := obj.DeepCopyObject().(client.Object)
		if err := c.admin.Get(ctx, client.ObjectKeyFromObject(obj), current); err != nil {
			return err
		}
		if current.GetDeletionTimestamp() == nil {
			return errors.New("it is not")
		}
		return nil
	})
}

func (c *cluster) read(t *testing.T, obj client.Object) client.Object {
	t.Helper()
	current := obj.DeepCopyObject().(client.Object)
	if err := c.admin.Get(t.Context(), client.ObjectKeyFromObject(obj), current); err != nil {
		t.Fatal(err)
	}
	return current
}

// testGitOps: what is applied from a manifest holds no finalizer, and taking the
// manifest away deletes the object.
func testGitOps(t *testing.T, c *cluster) {
	manifest := c.path("config/samples/hold_case_4711.yaml")
	sample := &v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: "case-4711"}}
	c.kubectl(t, "apply", "--server-side", "-f", manifest)
	seen := c.read(t, sample)
	controllerutil.AddFinalizer(seen, v1alpha1.RetentionFinalizer)
	if err := c.as(t, controllerAccount).Update(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	c.kubectl(t, "apply", "--server-side", "-f", manifest)
	_, _, err := c.Kubectl(t.Context(), "replace", "-f", manifest)
	wantAnswer(t, err, onlyControllerReleases)
	c.kubectl(t, "delete", "--wait=false", "-f", manifest)
	c.kubectl(t, "delete", "--wait=false", "--force", "--grace-period=0", "-f", manifest)
	held := c.read(t, sample)
	if held.GetDeletionTimestamp() == nil || !controllerutil.ContainsFinalizer(held, v1alpha1.RetentionFinalizer) {
		t.Errorf("deleted at %v, with the finalizers %v", held.GetDeletionTimestamp(), held.GetFinalizers())
	}
	c.kubectl(t, "apply", "--server-side", "-f", manifest)
	if held = c.read(t, sample); held.GetDeletionTimestamp() == nil {
		t.Error("applying it again took the deletion back")
	}
	c.release(t, sample)
	c.kubectl(t, "apply", "--server-side", "-f", manifest)
	if again := c.read(t, sample); again.GetUID() == held.GetUID() {
		t.Error("it is the same object")
	}
}

// testGarbageCollection: an object whose owner is gone is deleted like any other.
func testGarbageCollection(t *testing.T, c *cluster) {
	owner := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}
	c.create(t, owner)
	var owned []client.Object
	for i, obj := range []client.Object{policy("owned", "1y"), hold("owned")} {
		obj.SetOwnerReferences([]metav1.OwnerReference{{
			APIVersion: "v1", Kind: "Namespace", Name: owner.Name, UID: owner.UID, BlockOwnerDeletion: ptr.To(i == 0),
		}})
		c.create(t, obj)
		owned = append(owned, obj)
	}
	if err := c.admin.Delete(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	for _, obj := range owned {
		c.waitDeleting(t, obj)
		c.release(t, obj)
	}
}

// testCRDDeletion: admission is not asked about the objects of a CRD that is
// deleted, locked or not. Their finalizers hold them, and with them the CRD.
func testCRDDeletion(t *testing.T, c *cluster) {
	held, kept := hold("last"), policy("last", "1y", func(p *v1alpha1.RetentionPolicy) { p.Spec.Locked = true })
	c.create(t, held)
	c.create(t, kept)
	c.kubectl(t, "delete", "--wait=false", "crd", "retentionpolicies.auditquery.dev", "legalholds.auditquery.dev")
	for _, obj := range []client.Object{held, kept} {
		c.waitDeleting(t, obj)
		wantOnlyControllerReleases(t, c, obj)
	}
	another := hold("another")
	wantAnswer(t, c.admin.Create(t.Context(), another), "create not allowed while custom resource definition is terminating")
	c.release(t, held)
	c.release(t, kept)
	// No other hold is left, but policies of other tests are.
	c.kubectl(t, "wait", "--for=delete", "--timeout=60s", "crd", "legalholds.auditquery.dev")
}
