package feed

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/tenancy"
)

func TestNameOfWhatIsGone(t *testing.T) {
	for name, tc := range map[string]struct {
		obj     any
		want    string
		wantErr bool
	}{
		"an object":                      {obj: &v1alpha1.AuditTenant{ObjectMeta: metav1.ObjectMeta{Name: "t"}}, want: "t"},
		"an object whose end was missed": {obj: toolscache.DeletedFinalStateUnknown{Key: "t"}, want: "t"},
		"something else":                 {obj: "t", wantErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := nameOf(tc.obj)
			if got != tc.want || (err != nil) != tc.wantErr {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestCacheKeepsWhatIsRead(t *testing.T) {
	ns := newNamespace()
	ns.Name, ns.UID, ns.Labels, ns.Annotations = "shop", "1", map[string]string{"a": "b"}, map[string]string{"c": "d"}
	ns.Finalizers, ns.ManagedFields = []string{"f"}, []metav1.ManagedFieldsEntry{{Manager: "m"}}
	got, err := stripNamespace(ns)
	want := newNamespace()
	want.Name, want.UID = "shop", "1"
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s %v", diff, err)
	}
}

func TestOnlyReadinessIsMeasuredBeforeIt(t *testing.T) {
	directory := tenancy.NewDirectory()
	if n := testutil.CollectAndCount(NewCollector(directory)); n != 1 || directory.Ready() {
		t.Errorf("%d metrics", n)
	}
	if _, err := directory.Index(); !errors.Is(err, tenancy.ErrNotReady) {
		t.Errorf("error %v", err)
	}
}
