package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/warning"

	"auditquery.dev/auditquery/api/records/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// List returns one page of records, newest first.
func (s *storage) List(ctx context.Context, options *internalversion.ListOptions) (runtime.Object, error) {
	if options == nil {
		options = &internalversion.ListOptions{}
	}
	p, err := s.plan(request.NamespaceValue(ctx), options)
	if err != nil {
		return nil, err
	}
	asking, cancel := s.deadline(ctx)
	defer cancel()
	page, err := s.Reader.List(asking, p.query)
	if err != nil {
		return nil, s.failure(ctx, err)
	}
	h, err := s.headOf(p, page)
	if err != nil {
		return nil, s.failure(ctx, err)
	}
	list, err := s.answer(ctx, p, h, page.Documents)
	if err != nil {
		return nil, s.failure(ctx, err)
	}
	if h.truncation != nil {
		warning.AddWarning(ctx, "", truncationWarning(h.truncation))
	}
	return list, nil
}

// headOf says how the list goes on, or that it ends although there is more.
func (s *storage) headOf(p *span, page store.Page) (head, error) {
	var h head
	if page.Next == nil {
		return h, nil
	}
	rows := p.rows + len(page.Documents)
	ends := !p.bounded() && rows >= MaxWithoutWindow
	if ends {
		rows = 0 // whoever goes on by the token gets as many again
	}
	token, err := s.Cursors.Encode(store.Cursor{
		Kind: s.shape.kind, Scope: p.query.Scope.Name, From: p.query.From, To: p.query.To, Filter: p.query.Filter,
		Selectors: p.selectors, After: *page.Next, Rows: rows, Issued: p.issued,
	})
	oldest := microTime(record.Timestamp(page.Next.Micros))
	switch {
	case errors.Is(err, store.ErrFilterTooLarge):
		h.truncation = &v1alpha1.Truncation{Reason: v1alpha1.TruncatedFilterTooLarge, Oldest: oldest}
	case err != nil:
		return h, err
	case ends:
		h.truncation = &v1alpha1.Truncation{Reason: v1alpha1.TruncatedWithoutWindow, Oldest: oldest, Continue: token}
	default:
		h.Continue = token
	}
	return h, nil
}

// truncationWarning is what kubectl prints below a list that has more.
func truncationWarning(t *v1alpha1.Truncation) string {
	oldest := t.Oldest.UTC().Format(time.RFC3339Nano)
	if t.Reason == v1alpha1.TruncatedFilterTooLarge {
		return fmt.Sprintf("this list is not complete: it ends at %s, since its selectors do not fit into a continue token. "+
			"Narrow it with the field selectors from and to, such as --field-selector to=%s", oldest, oldest)
	}
	return fmt.Sprintf("this list is not complete: it ends after the newest %d records, at %s. "+
		"For all of a span of time give its beginning, such as --field-selector from=now-1day", MaxWithoutWindow, oldest)
}

// answer makes the list. Where the answer is the list itself, its JSON is made
// from the documents without decoding them.
func (s *storage) answer(ctx context.Context, p *span, h head, documents [][]byte) (runtime.Object, error) {
	namespaceOf := func(r *record.Common) (string, error) { return s.namespaceOf(p, r) }
	if !wantsObjects(ctx) {
		body, err := s.splicer.list(h, documents, namespaceOf)
		if err != nil {
			return nil, err
		}
		return s.shape.spliced(h, splicedBody{json: body, encoder: s.PlainJSON}), nil
	}
	records, err := record.DecodeAll(s.shape.kind, documents)
	if err != nil {
		return nil, err
	}
	namespaces := make([]string, len(records))
	for i, r := range records {
		if namespaces[i], err = namespaceOf(r.Base()); err != nil {
			return nil, err
		}
	}
	return s.shape.list(h, records, namespaces), nil
}

// errNamespaceUnknown means that it can't be said now where a record appears.
var errNamespaceUnknown = errors.New("the namespace of a record is not known")

// namespaceOf is where a record appears. One that the scope of a namespace lets
// through is the namespace's own.
func (s *storage) namespaceOf(p *span, r *record.Common) (string, error) {
	if p.namespace != "" {
		return p.namespace, nil
	}
	namespace, err := s.Scopes.NamespaceOf(r)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNamespaceUnknown, err)
	}
	return namespace, nil
}
