package rest

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/timeexpr"
)

// arguments are a request's parameters, read and checked.
type arguments struct {
	limit    int
	from, to string
	orgID    string
	token    string
	filter   query.Filter
	// selectors is a digest of everything that selects records, as it was
	// given; nil if nothing was.
	selectors []byte
	// given is the whole query string, also what is unknown.
	given url.Values
}

// readArguments reads a query string. The error is a *failure of status 400 or
// 414 that names the parameter. Unknown parameters are passed over. An empty one
// is as if it were not given.
func (e *endpoint) readArguments(rawQuery string) (arguments, error) {
	if len(rawQuery) > MaxQueryBytes {
		return arguments{}, tooLong()
	}
	// url.URL.Query drops what it can't read, and with it a filter.
	given, err := url.ParseQuery(rawQuery)
	if err != nil {
		return arguments{}, badRequest("", "%s", "the query string cannot be read; write % as %25 and ; as %3B")
	}
	// Quoting makes a byte three.
	if len(rawQuery) > MaxQueryBytes/3 && len(given.Encode()) > MaxQueryBytes {
		return arguments{}, tooLong()
	}
	if !watchIsOff(given) {
		return arguments{}, badRequest("watch", "records cannot be watched here; ask again with dt_from")
	}
	a := arguments{limit: DefaultLimit, given: given}
	r := reader{endpoint: e, arguments: &a}
	for _, p := range e.parameters {
		values := given[p.name]
		if len(values) > 1 && !p.repeatable {
			return arguments{}, badRequest(p.name, "it is given %d times, and may be given once", len(values))
		}
		if values = slices.DeleteFunc(slices.Clone(values), empty); len(values) == 0 {
			continue
		}
		if err := r.read(p, values); err != nil {
			return arguments{}, err
		}
	}
	a.filter = r.filter()
	if r.selected {
		a.selectors = r.digest.sum()
	}
	return a, nil
}

func empty(value string) bool { return value == "" }

// watchIsOff is how the API machinery of Kubernetes reads the parameter.
func watchIsOff(given url.Values) bool {
	values, ok := given["watch"]
	return !ok || len(values) == 1 && (strings.EqualFold(values[0], "false") || values[0] == "0")
}

// digestBytes is how much of the digest of selectors is kept: it only tells
// mistakes apart, since the token that carries it is signed.
const digestBytes = 16

// reader gathers one request's arguments.
type reader struct {
	endpoint  *endpoint
	arguments *arguments
	equal     query.And
	attribute query.Attribute
	// impossible is true when a repeated and a single parameter about the same
	// part of an attribute have no value in common.
	impossible bool
	selected   bool
	digest     selectorDigest
}

// read takes one parameter's values, of which there is at least one.
func (r *reader) read(p parameter, values []string) error {
	if len(values) > query.MaxValues {
		return badRequest(p.name, "it is given %d times, which is more than %d", len(values), query.MaxValues)
	}
	if p.selects() {
		r.selected = true
		r.digest.add(p.name, values)
	}
	value := values[0]
	switch p.use {
	case pageSize:
		return r.readLimit(p, value)
	case windowFrom:
		r.arguments.from = value
	case windowTo:
		r.arguments.to = value
	case pageToken:
		r.arguments.token = value
	case attributeType:
		r.narrow(&r.attribute.Type, values)
	case attributeID:
		r.narrow(&r.attribute.ID, values)
	case attributeOrg:
		r.narrow(&r.attribute.OrgID, values)
	case equality:
		return r.readEqual(p, value)
	default:
		return badRequest(p.name, "%s", p.description)
	}
	return nil
}

func (r *reader) readLimit(p parameter, value string) error {
	// ParseUint takes no sign.
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil || n < 1 || n > MaxLimit {
		return badRequest(p.name, "it is not a whole number from 1 to %d", MaxLimit)
	}
	r.arguments.limit = int(n)
	return nil
}

func (r *reader) readEqual(p parameter, value string) error {
	canonical, err := r.endpoint.schema.Canonical(p.field, value)
	if err != nil {
		return badRequest(p.name, "%s", err)
	}
	if p.field == "org_id" {
		r.arguments.orgID = canonical
	}
	r.equal = append(r.equal, query.Equal{Field: p.field, Value: canonical})
	return nil
}

// narrow keeps, of the values that a part may have, those that are among more.
func (r *reader) narrow(part *[]string, more []string) {
	canonical := make([]string, 0, len(more))
	for _, value := range more {
		canonical = append(canonical, r.endpoint.schema.CanonicalText(value))
	}
	if *part == nil {
		*part = canonical
		return
	}
	*part = slices.DeleteFunc(*part, func(value string) bool { return !slices.Contains(canonical, value) })
	r.impossible = r.impossible || len(*part) == 0
}

func (r *reader) filter() query.Filter {
	if r.impossible {
		return query.Or{}
	}
	filters := r.equal
	if a := r.attribute; len(a.Type)+len(a.ID)+len(a.OrgID) > 0 {
		filters = append(filters, a)
	}
	switch len(filters) {
	case 0:
		return nil
	case 1:
		return filters[0]
	default:
		return filters
	}
}

// selectorDigest hashes names and values with their lengths, so that no two
// requests give the same bytes. The parameters come in the table's order.
type selectorDigest struct{ parts []byte }

func (d *selectorDigest) add(name string, values []string) {
	d.part(name)
	d.parts = binary.AppendUvarint(d.parts, uint64(len(values)))
	for _, value := range values {
		d.part(value)
	}
}

func (d *selectorDigest) part(text string) {
	d.parts = binary.AppendUvarint(d.parts, uint64(len(text)))
	d.parts = append(d.parts, text...)
}

// sum returns the digest. Other front-ends digest selectors too; the prefix
// keeps theirs apart from ours.
func (d *selectorDigest) sum() []byte {
	sum := sha256.Sum256(append([]byte("rest\n"), d.parts...))
	return sum[:digestBytes]
}

// windowError names the parameter that a time expression came from.
func windowError(err error) error {
	refusedText, ok := errors.AsType[*timeexpr.Error](err)
	if !ok {
		return fmt.Errorf("read the window: %w", err)
	}
	field := "dt_" + refusedText.Field
	named := *refusedText
	named.Field = ""
	return badRequest(field, "%s", named.Error())
}
