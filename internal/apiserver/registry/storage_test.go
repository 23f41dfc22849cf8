package registry

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/registry/rest"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

type noReader struct{}

func (noReader) List(context.Context, query.Query) (store.Page, error) { return store.Page{}, nil }
func (noReader) Get(context.Context, record.Kind, record.ID, query.Scope) ([]byte, error) {
	return nil, nil
}

type noScopes struct{}

func (noScopes) Scope(string) (query.Scope, error)          { return query.All(), nil }
func (noScopes) NamespaceOf(*record.Common) (string, error) { return "", nil }

func dependencies() Dependencies {
	return Dependencies{
		Reader: noReader{}, Cursors: &store.Cursors{}, Scopes: noScopes{}, Now: time.Now, Timeout: time.Second, PlainJSON: "json",
	}
}

// jsonNames lists the JSON names of an object's own fields.
func jsonNames(object any) []string {
	var names []string
	for field := range reflect.TypeOf(object).Elem().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

func TestWhatIsServedCanOnlyBeRead(t *testing.T) {
	audits, authAudits := must(NewAudits(dependencies())), must(NewAuthAudits(dependencies()))
	for name, storage := range map[string]any{"audits": audits, "authaudits": authAudits} {
		_, watches := storage.(rest.Watcher)
		_, creates := storage.(rest.Creater) //nolint:misspell // the library's name
		_, namedCreates := storage.(rest.NamedCreater)
		_, updates := storage.(rest.Updater)
		_, deletes := storage.(rest.GracefulDeleter)
		_, mayDelete := storage.(rest.MayReturnFullObjectDeleter)
		_, deletesAll := storage.(rest.CollectionDeleter)
		_, connects := storage.(rest.Connecter)
		_, patches := storage.(rest.Patcher)
		_, categories := storage.(rest.CategoriesProvider)
		_, shortNames := storage.(rest.ShortNamesProvider)
		got := []bool{
			watches, creates, namedCreates, updates, deletes, mayDelete, deletesAll, connects, patches, categories, shortNames,
		}
		if diff := cmp.Diff(make([]bool, len(got)), got); diff != "" {
			t.Errorf("%s can do more than get and list:\n%s", name, diff)
		}
	}
}

func TestDependenciesAreAllNeeded(t *testing.T) {
	for field := range reflect.TypeFor[Dependencies]().Fields() {
		d := dependencies()
		reflect.ValueOf(&d).Elem().FieldByIndex(field.Index).SetZero()
		if _, err := NewAudits(d); err == nil || !strings.Contains(err.Error(), field.Name) {
			t.Errorf("without %s: %v", field.Name, err)
		}
	}
}
