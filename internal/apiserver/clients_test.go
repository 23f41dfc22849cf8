package apiserver

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"
	"sigs.k8s.io/yaml"

	"auditquery.dev/auditquery/api/records/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/builders"
)

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

func (s *stage) config() *rest.Config {
	return &rest.Config{
		Host: s.url, BearerToken: "alice", QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: s.ca},
	}
}

func resource(name string) schema.GroupVersionResource {
	return v1alpha1.GroupVersion.WithResource(name)
}

func TestEveryFormOfClientListsToTheEnd(t *testing.T) {
	s := start(t)
	s.reader.records = audits(1100)
	want := namesOf(s.reader.records)
	options := metav1.ListOptions{FieldSelector: "from=now-30day", Limit: 200}
	forms := map[string]func(*testing.T) pager.ListPageFunc{
		"typed": func(t *testing.T) pager.ListPageFunc {
			client := s.typed(t)
			return func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				list := &v1alpha1.AuditList{}
				return list, client.Get().Namespace("shop").Resource("audits").VersionedParams(&o, metav1.ParameterCodec).Do(ctx).Into(list)
			}
		},
		"dynamic": func(t *testing.T) pager.ListPageFunc {
			client, err := dynamic.NewForConfig(s.config())
			if err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return client.Resource(resource("audits")).Namespace("shop").List(ctx, o)
			}
		},
		"metadata alone": func(t *testing.T) pager.ListPageFunc {
			client, err := metadata.NewForConfig(s.config())
			if err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return client.Resource(resource("audits")).Namespace("shop").List(ctx, o)
			}
		},
	}
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			var got []string
			err := pager.New(form(t)).EachListItem(t.Context(), options, func(object runtime.Object) error {
				item, ok := object.(metav1.Object)
				if !ok {
					t.Fatalf("%T", object)
				}
				if item.GetNamespace() != "shop" || item.GetUID() == "" || item.GetCreationTimestamp().Unix() <= 0 || item.GetLabels()[v1alpha1.LabelOutcome] != "Success" {
					t.Errorf("%+v", item)
				}
				got = append(got, item.GetName())
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// typed is a client as client-gen makes them, one that would rather speak protobuf.
func (s *stage) typed(t *testing.T) *rest.RESTClient {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	config := s.config()
	config.APIPath, config.GroupVersion = "/apis", &v1alpha1.GroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	client, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestTypedRecordsAreWhole(t *testing.T) {
	s := start(t)
	login := builders.AuthAudit()
	s.reader.records = append(audits(1), login)
	client := s.typed(t)
	var audit v1alpha1.AuditList
	if err := client.Get().Resource("audits").Do(t.Context()).Into(&audit); err != nil {
		t.Fatal(err)
	}
	got := audit.Items[0]
	if got.Namespace != "shop" || string(got.Details.Raw) != `{"n":0}` || got.SourceIP != "192.0.2.7" ||
		!got.Time.Time.Equal(builders.Time()) || got.AuditAttributes[0].AttributeOrgID != "org-1" {
		t.Errorf("%+v", got)
	}
	var auth v1alpha1.AuthAudit
	err := client.Get().Namespace("shop").Resource("authaudits").Name(login.ID.String()).Do(t.Context()).Into(&auth)
	if err != nil || auth.EventName != "Login" || auth.Labels[v1alpha1.LabelOutcome] != "Success" {
		t.Errorf("%v %+v", err, auth)
	}
}

func TestTables(t *testing.T) {
	const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
	s := start(t)
	s.reader.records = audits(3, func(_ int, a *record.Audit) { a.TokenID, a.TraceID = "token-1", "trace-1" })
	var table metav1.Table
	s.get(shopAudits+fieldSelector("from=now-30day")+"&limit=2", "Accept", accept).into(t, &table)
	var columns, wide []string
	for _, c := range table.ColumnDefinitions {
		if c.Priority == 0 {
			columns = append(columns, c.Name)
		} else {
			wide = append(wide, c.Name)
		}
	}
	if diff := cmp.Diff([]string{"Time", "User", "Action", "Resource", "Name", "Outcome", "Code"}, columns); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Source", "Agent", "Token", "Trace", "ID"}, wide); diff != "" {
		t.Errorf("wide columns (-want +got):\n%s", diff)
	}
	first := s.reader.records[0].Base()
	want := []any{
		"2026-11-02T10:30:00Z", "alice", "update", "application", "thing-0", "Success", int64(200),
		"192.0.2.7", "Mozilla/5.0", "token-1", "trace-1", first.ID.String(),
	}
	cells := slices.Clone(table.Rows[0].Cells)
	if code, ok := cells[6].(float64); ok {
		cells[6] = int64(code)
	}
	if diff := cmp.Diff(want, cells); diff != "" {
		t.Errorf("the first row (-want +got):\n%s", diff)
	}
	if table.Continue == "" || len(table.Rows) != 2 || !strings.Contains(string(table.Rows[0].Object.Raw), `"namespace":"shop"`) {
		t.Errorf("continue %q, %d rows, %s", table.Continue, len(table.Rows), table.Rows[0].Object.Raw)
	}

	s.reader.records = nil
	for path, want := range map[string]int{shopAudits: 12, recordsPath + "/authaudits": 11} {
		var empty metav1.Table
		s.get(path, "Accept", accept).into(t, &empty)
		if len(empty.ColumnDefinitions) != want || len(empty.Rows) != 0 {
			t.Errorf("%s: an empty table has %d columns", path, len(empty.ColumnDefinitions))
		}
	}
}

func TestATruncatedTableWarns(t *testing.T) {
	s := start(t)
	s.reader.records = audits(501)
	a := s.get(shopAudits, "Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	var table metav1.Table
	a.into(t, &table)
	if len(table.Rows) != 500 || table.Continue != "" || !strings.Contains(a.header.Get("Warning"), "not complete") {
		t.Errorf("%d rows, %q, %q", len(table.Rows), table.Continue, a.header.Get("Warning"))
	}
}

func TestOtherEncodingsSayTheSame(t *testing.T) {
	s := start(t)
	s.reader.records = audits(3)
	var want any
	s.get(shopAudits).into(t, &want)
	var pretty any
	s.get(shopAudits+"?pretty=true").into(t, &pretty)
	if diff := cmp.Diff(want, pretty); diff != "" {
		t.Errorf("indented (-want +got):\n%s", diff)
	}
	var fromYAML any
	if err := yaml.Unmarshal(s.get(shopAudits, "Accept", "application/yaml").body, &fromYAML); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, fromYAML); diff != "" {
		t.Errorf("YAML (-want +got):\n%s", diff)
	}
	if a := s.get(shopAudits, "Accept", "application/vnd.kubernetes.protobuf"); a.code != 406 {
		t.Errorf("protobuf: %d %.300s", a.code, a.body)
	}
}
