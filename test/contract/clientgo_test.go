package contract_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"

	"auditquery.dev/auditquery/api/records/v1alpha1"
)

// formsOfClientGo lists by every form of client that client-go has, through the
// aggregator and at the server's own address.
func (c *cluster) formsOfClientGo(t *testing.T) {
	through := c.accounts[allRecords]
	own := rest.CopyConfig(through)
	own.Host = c.Server().URL()
	var want []string
	for place, config := range map[string]*rest.Config{"the kube-apiserver": through, ownAddress: own} {
		for form, page := range listForms(t, config) {
			t.Run(form+" at "+place, func(t *testing.T) {
				var got []string
				err := pager.New(page).EachListItem(t.Context(), metav1.ListOptions{FieldSelector: "from=2026-10-01", Limit: 1}, func(o runtime.Object) error {
					item, ok := o.(metav1.Object)
					if !ok || item.GetNamespace() != "shop" || item.GetUID() == "" {
						t.Fatalf("%T: %+v", o, o)
					}
					got = append(got, item.GetName())
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if want == nil {
					want = slices.Clone(got)
				}
				if diff := cmp.Diff(want, got); diff != "" || len(got) != 3 {
					t.Errorf("%d records (-another form +this):\n%s", len(got), diff)
				}
			})
		}
		t.Run("typed, one record at "+place, func(t *testing.T) { wantTyped(t, config) })
	}
}

func listForms(t *testing.T, config *rest.Config) map[string]pager.ListPageFunc {
	t.Helper()
	resource := v1alpha1.GroupVersion.WithResource("audits")
	typed := typedClient(t, config)
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	partial, err := metadata.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]pager.ListPageFunc{
		"typed": func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list := &v1alpha1.AuditList{}
			return list, typed.Get().Namespace("shop").Resource("audits").VersionedParams(&o, metav1.ParameterCodec).Do(ctx).Into(list)
		},
		"dynamic": func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return untyped.Resource(resource).Namespace("shop").List(ctx, o)
		},
		"metadata alone": func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return partial.Resource(resource).Namespace("shop").List(ctx, o)
		},
		"rows of a Table": func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return tablePage(ctx, typed, o)
		},
	}
}

// tablePage lists as kubectl does, and returns what the rows are about.
func tablePage(ctx context.Context, client *rest.RESTClient, o metav1.ListOptions) (runtime.Object, error) {
	table := &metav1.Table{}
	err := client.Get().Namespace("shop").Resource("audits").VersionedParams(&o, metav1.ParameterCodec).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(ctx).Into(table)
	list := &metav1.PartialObjectMetadataList{ListMeta: table.ListMeta}
	for _, row := range table.Rows {
		var item metav1.PartialObjectMetadata
		if err := runtime.DecodeInto(metadataCodec(), row.Object.Raw, &item); err != nil {
			return nil, err
		}
		list.Items = append(list.Items, item)
	}
	return list, err
}

func metadataCodec() runtime.Decoder {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	return serializer.NewCodecFactory(scheme).UniversalDeserializer()
}

// typedClient is a client as client-gen makes them, one that would rather speak
// protobuf.
func typedClient(t *testing.T, config *rest.Config) *rest.RESTClient {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = "/apis", &v1alpha1.GroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	client, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func wantTyped(t *testing.T, config *rest.Config) {
	t.Helper()
	id := full()[0].Base().ID.String()
	var got v1alpha1.Audit
	err := typedClient(t, config).Get().Namespace("shop").Resource("audits").Name(id).Do(t.Context()).Into(&got)
	if err != nil || got.ID != id || got.TargetResourceName != "intranet" || string(got.Details.Raw) != `{"nested":{"deep":[1,"two",null]}}` {
		t.Errorf("%v: %+v", err, got)
	}
}
