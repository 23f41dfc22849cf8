package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"

	"auditquery.dev/auditquery/api/records/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/tenancy"
)

// Reader is what records are read from. Every error is a *store.Error.
type Reader interface {
	List(ctx context.Context, q query.Query) (store.Page, error)
	Get(ctx context.Context, kind record.Kind, id record.ID, scope query.Scope) ([]byte, error)
}

// Scopes says which namespace may see which records. It is asked for each request.
// Methods may be called from several goroutines.
type Scopes interface {
	// Scope returns what a namespace may see. tenancy.ErrUnknownNamespace means
	// that there is no such namespace, which sees nothing; any other error that
	// it is not known now, which fails the request.
	Scope(namespace string) (query.Scope, error)
	// NamespaceOf returns the namespace that a record appears in. It reads
	// source_type, cluster, org_id and time, and no other field is given.
	NamespaceOf(r *record.Common) (string, error)
}

// Cursors signs and reads continue tokens. The error of Decode is a *store.Error,
// that of Encode store.ErrFilterTooLarge.
type Cursors interface {
	Encode(c store.Cursor) (string, error)
	Decode(token string) (store.Cursor, error)
}

// Dependencies are what the resources are made of. All are required.
type Dependencies struct {
	Reader  Reader
	Cursors Cursors
	Scopes  Scopes
	// Now is the clock that time expressions are resolved against.
	Now func() time.Time
	// Timeout bounds each question to the store. It is shorter than what the
	// server allows a request, so that a client is told what took so long.
	Timeout time.Duration
	// PlainJSON identifies the encoder whose answers are spliced.
	PlainJSON runtime.Identifier
}

func (d Dependencies) validate() error {
	var missing []error
	for name, absent := range map[string]bool{
		"Reader": d.Reader == nil, "Cursors": d.Cursors == nil, "Scopes": d.Scopes == nil,
		"Now": d.Now == nil, "Timeout": d.Timeout <= 0, "PlainJSON": d.PlainJSON == "",
	} {
		if absent {
			missing = append(missing, fmt.Errorf("the registry was given no %s", name))
		}
	}
	return errors.Join(missing...)
}

// shape is what differs between the resources.
type shape struct {
	kind     record.Kind
	listKind string
	plural   string
	singular string
	columns  []metav1.TableColumnDefinition

	newObject func() runtime.Object
	newList   func() runtime.Object
	// object is one record as it is served.
	object func(r record.Record, namespace string) runtime.Object
	// list is a list of records, decoded.
	list func(head head, records []record.Record, namespaces []string) runtime.Object
	// spliced is a list whose JSON was made already.
	spliced func(head head, s splicedBody) runtime.Object
	// rows are the rows of a Table for an object or a list that object or list
	// made.
	rows func(object runtime.Object) []metav1.TableRow
}

// head is what a list says of itself.
type head struct {
	metav1.ListMeta
	truncation *v1alpha1.Truncation
}

// storage implements what the resources have in common. Its methods are the verbs
// that discovery advertises: get and list, and never another one.
type storage struct {
	Dependencies
	shape    shape
	resource schema.GroupResource
	schema   *record.Schema
	fields   fieldSet
	splicer  *splicer
}

func newStorage(d Dependencies, s shape) (*storage, error) {
	if err := d.validate(); err != nil {
		return nil, err
	}
	sp, err := newSplicer(s)
	if err != nil {
		return nil, err
	}
	return &storage{
		Dependencies: d,
		shape:        s,
		resource:     schema.GroupResource{Group: v1alpha1.Group, Resource: s.plural},
		schema:       record.NewSchema(s.kind),
		fields:       newFieldSet(s.kind),
		splicer:      sp,
	}, nil
}

// New returns an empty object.
func (s *storage) New() runtime.Object { return s.shape.newObject() }

// NewList returns an empty list.
func (s *storage) NewList() runtime.Object { return s.shape.newList() }

// Destroy does nothing: whoever opened the store closes it.
func (s *storage) Destroy() {}

// NamespaceScoped is true.
func (s *storage) NamespaceScoped() bool { return true }

// GetSingularName returns the resource's name in the singular.
func (s *storage) GetSingularName() string { return s.shape.singular }

// Get returns the record with an id, if the request's namespace claims it.
func (s *storage) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	namespace := request.NamespaceValue(ctx)
	if namespace == "" {
		return nil, badRequest("a record is read in its namespace")
	}
	id, err := record.ParseID(name)
	if err != nil || id.String() != name {
		return nil, s.notFound(name)
	}
	scope, err := s.scopeOf(namespace)
	if err != nil {
		return nil, err
	}
	asking, cancel := s.deadline(ctx)
	defer cancel()
	document, err := s.Reader.Get(asking, s.shape.kind, id, scope)
	if store.IsNotFound(err) {
		return nil, s.notFound(name)
	}
	if err != nil {
		return nil, s.failure(ctx, err)
	}
	r := record.New(s.shape.kind)
	if err := record.Decode(document, r); err != nil {
		return nil, s.failure(ctx, err)
	}
	return s.shape.object(r, namespace), nil
}

// scopeOf returns what a request may see: the namespace of its path, or all where
// it names none; then it was authorized for all. A namespace that does not exist
// sees nothing, as it holds nothing of any other resource either.
func (s *storage) scopeOf(namespace string) (query.Scope, error) {
	if namespace == "" {
		return query.All(), nil
	}
	scope, err := s.Scopes.Scope(namespace)
	var tooMany *tenancy.TooManyClaimsError
	switch {
	case errors.Is(err, tenancy.ErrUnknownNamespace):
		return tenancy.Nothing(namespace), nil
	case errors.As(err, &tooMany):
		return query.Scope{}, badRequest(tooMany.Error())
	case err != nil:
		return query.Scope{}, notReady()
	}
	return scope, nil
}

// deadline bounds a question to the store. A client that asks for less time than
// Timeout gets its answer, or our error, before the server cuts it off.
func (s *storage) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	timeout := s.Timeout
	if end, ok := ctx.Deadline(); ok {
		const margin = 10
		remaining := time.Until(end)
		timeout = min(timeout, remaining-remaining/margin)
	}
	return context.WithTimeout(ctx, timeout)
}

// ConvertToTable returns the columns, and a row for each record.
func (s *storage) ConvertToTable(_ context.Context, object, tableOptions runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{Rows: s.shape.rows(object)}
	if options, ok := tableOptions.(*metav1.TableOptions); !ok || !options.NoHeaders {
		table.ColumnDefinitions = s.shape.columns
	}
	if list, ok := object.(metav1.ListInterface); ok {
		// Without it kubectl stops after the first page.
		table.Continue = list.GetContinue()
	}
	return table, nil
}
