package rest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/store"
)

// pageTokenName is the name of the parameter pageToken.
const pageTokenName = "page_token"

// list is one page's question, and what the next page's token will hold.
type list struct {
	query  query.Query
	cursor store.Cursor
}

// begin makes the question of a request: a new list's, or, with a token, that of
// the list which the token goes on.
func (h *Handler) begin(e *endpoint, a arguments, scope query.Scope) (list, error) {
	if a.token != "" {
		return h.goOn(e, a, scope)
	}
	window, err := h.window(a)
	if err != nil {
		return list{}, err
	}
	q, err := valid(query.Query{
		Kind: e.kind, Scope: scope, From: window.From, To: window.To, Filter: a.filter, Limit: a.limit,
	}, e)
	if err != nil {
		return list{}, err
	}
	return list{query: q, cursor: store.Cursor{
		Kind: e.kind, Scope: scope.Name, From: q.From, To: q.To, Filter: q.Filter, Selectors: a.selectors,
	}}, nil
}

// goOn takes the window and the filter from the token and the scope from the
// request.
func (h *Handler) goOn(e *endpoint, a arguments, scope query.Scope) (list, error) {
	cursor, err := h.options.Cursors.Decode(a.token)
	if err != nil {
		return list{}, tokenFailure(err)
	}
	q, err := cursor.Query(e.kind, scope, a.limit)
	if err != nil {
		return list{}, tokenFailure(err)
	}
	if a.selectors != nil && !bytes.Equal(a.selectors, cursor.Selectors) {
		return list{}, badRequest(pageTokenName,
			"its list began with other parameters; repeat those, or give none but limit and page_token")
	}
	q, err = valid(q, e)
	return list{query: q, cursor: cursor}, err
}

// valid validates a question. The parameters were checked one by one, so what is
// wrong here is the scope, or a token that another version made.
func valid(q query.Query, e *endpoint) (query.Query, error) {
	out, err := query.Validate(q, e.schema)
	if err == nil {
		return out, nil
	}
	if invalid, ok := errors.AsType[*query.Error](err); ok && !strings.HasPrefix(invalid.Path, "scope") {
		return query.Query{}, badRequest("", "%s", invalid)
	}
	return query.Query{}, fmt.Errorf("validate the query: %w", err)
}

// next says how a list goes on.
type next struct {
	// token is empty at the end.
	token string
	// lost is true when there is more but no token.
	lost bool
}

func (h *Handler) next(l list, page store.Page) (next, error) {
	if page.Next == nil {
		return next{}, nil
	}
	l.cursor.After = *page.Next
	l.cursor.Rows += len(page.Documents)
	token, err := h.options.Cursors.Encode(l.cursor)
	if errors.Is(err, store.ErrFilterTooLarge) {
		return next{lost: true}, nil
	}
	return next{token: token}, err
}

// announce sets the header that says how the list goes on. The link is relative,
// and only a query: the server does not know the address that the client used.
func (n next) announce(header http.Header, given url.Values) {
	switch {
	case n.lost:
		header.Set("Warning", `299 - "there are more records, but `+store.ErrFilterTooLarge.Error()+`"`)
	case n.token != "":
		again := maps.Clone(given)
		again.Set(pageTokenName, n.token)
		header.Set("Link", "<?"+again.Encode()+`>; rel="next"`)
	}
}
