package registry

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/tenancy"
)

// MaxWithoutWindow is how many records a list gives in all that was given no
// beginning, whatever its pages are. kubectl follows every list to its end and
// has no way to stop it: an unbounded question has a bounded answer.
const MaxWithoutWindow = query.MaxLimit

// span is one page of a list: what is asked, and what the pages before it were.
type span struct {
	query query.Query
	// namespace is the one whose records these are; "" for all.
	namespace string
	// selectors goes into the token of the next page.
	selectors []byte
	// rows is how many records the pages before gave.
	rows int
	// issued is when the list began; zero for now.
	issued time.Time
}

// bounded tells whether the list pages to its end: it has a beginning. An end
// alone bounds nothing.
func (p *span) bounded() bool { return !p.query.From.IsZero() }

// plan says what a request asks for. The scope comes from its path, which was
// authorized, and is resolved anew for each page.
func (s *storage) plan(namespace string, options *internalversion.ListOptions) (*span, error) {
	if err := checkOptions(options); err != nil {
		return nil, err
	}
	asked, err := s.selectFields(options.FieldSelector, s.Now())
	if err != nil {
		return nil, err
	}
	if err := s.selectLabels(asked, options.LabelSelector); err != nil {
		return nil, err
	}
	limit := query.MaxLimit
	if options.Limit > 0 {
		limit = int(min(options.Limit, query.MaxLimit))
	}
	var p *span
	if options.Continue == "" {
		p, err = s.first(namespace, asked, options)
	} else {
		p, err = s.next(namespace, options)
	}
	if err != nil {
		return nil, err
	}
	p.query.Limit = limit
	if !p.bounded() {
		p.query.Limit = min(limit, MaxWithoutWindow-p.rows)
	}
	if p.query, err = query.Validate(p.query, s.schema); err != nil {
		return nil, badRequest("the selectors cannot be asked together: " + err.Error())
	}
	return p, nil
}

// checkOptions refuses what would be answered wrongly. Any other resourceVersion
// asks for an answer that is at least so fresh, and every answer is.
func checkOptions(options *internalversion.ListOptions) error {
	switch {
	case options.Limit < 0:
		return badRequest("limit is negative")
	case options.ResourceVersionMatch == metav1.ResourceVersionMatchExact:
		return badRequest("records have no versions: resourceVersionMatch=Exact cannot be answered")
	default:
		return nil
	}
}

// first plans the first page of a list.
func (s *storage) first(namespace string, asked *selected, options *internalversion.ListOptions) (*span, error) {
	p := &span{namespace: namespace, selectors: digest(namespace, options)}
	if asked.hasNamespace {
		if namespace != "" && namespace != asked.namespace {
			asked.filters = append(asked.filters, query.Or{}) // nothing is in both
		} else {
			p.namespace = asked.namespace
		}
	}
	scope, err := s.scopeOf(p.namespace)
	if err != nil {
		return nil, err
	}
	p.query = query.Query{
		Kind: s.shape.kind, Scope: scope, From: asked.from, To: asked.to, Filter: asked.filter(),
	}
	return p, nil
}

// next plans the page that a token stands for. A token says where a list goes on
// and what it asked, never what its bearer may see.
func (s *storage) next(namespace string, options *internalversion.ListOptions) (*span, error) {
	cursor, err := s.Cursors.Decode(options.Continue)
	if err != nil {
		return nil, tokenFailure(err)
	}
	p := &span{namespace: namespace, selectors: cursor.Selectors, rows: cursor.Rows, issued: cursor.Issued}
	given := hasSelectors(options)
	switch {
	case cursor.Selectors == nil && given:
		return nil, badRequest("the continue token comes from an AuditQuery: it holds its filters, so give no selectors with it")
	case cursor.Selectors == nil:
		// The rows so far are in the object; the list has its own measure.
		p.selectors, p.rows = digest(namespace, options), 0
	case !madeFor(cursor.Selectors, namespace):
		return nil, badRequest("the continue token belongs to a list of another namespace")
	case given && !slices.Equal(cursor.Selectors, digest(namespace, options)):
		return nil, badRequest("the continue token belongs to a list with other selectors; repeat those that it began with, or give none")
	}
	if namespace == "" && cursor.Selectors != nil {
		// A list of all namespaces that its selectors narrow to one.
		if name, narrowed := strings.CutPrefix(cursor.Scope, tenancy.ScopeName("")); narrowed {
			p.namespace = name
		}
	}
	scope, err := s.scopeOf(p.namespace)
	if err != nil {
		return nil, err
	}
	p.query, err = cursor.Query(s.shape.kind, scope, query.MaxLimit)
	if err != nil {
		return nil, tokenFailure(err)
	}
	if p.rows >= MaxWithoutWindow && !p.bounded() {
		p.rows = 0
	}
	return p, nil
}

// tokenFailure is what is wrong with a token, for the client.
func tokenFailure(err error) error {
	if store.IsExpired(err) {
		return expired(err)
	}
	return badRequest(storeMessage(err))
}

func hasSelectors(options *internalversion.ListOptions) bool {
	return (options.FieldSelector != nil && !options.FieldSelector.Empty()) ||
		(options.LabelSelector != nil && !options.LabelSelector.Empty())
}

// What the first byte of a digest says: what the request's path named. A token of
// a namespace's list is none of the list of all namespaces, although both may be
// about the same records.
const (
	ofNamespace = 'n'
	ofAll       = 'a'
)

func madeFor(digest []byte, namespace string) bool {
	return len(digest) > 0 && (digest[0] == ofAll) == (namespace == "")
}

// digest identifies selectors as they were given: time expressions are compared
// as text, since the token holds what they were resolved to.
func digest(namespace string, options *internalversion.ListOptions) []byte {
	var terms []string
	if options.FieldSelector != nil {
		for _, r := range options.FieldSelector.Requirements() {
			terms = append(terms, fmt.Sprintf("f %q %s %q", r.Field, r.Operator, r.Value))
		}
	}
	if options.LabelSelector != nil {
		requirements, selectable := options.LabelSelector.Requirements()
		terms = append(terms, fmt.Sprintf("s %t", selectable))
		for i := range requirements {
			terms = append(terms, "l "+requirements[i].String())
		}
	}
	slices.Sort(terms)
	const length = 16
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(terms), "\n")))
	of := byte(ofNamespace)
	if namespace == "" {
		of = ofAll
	}
	return append([]byte{of}, sum[:length]...)
}
