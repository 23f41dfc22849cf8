package sqlite

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

const (
	// maxArgs is SQLite's bound on the values of one statement.
	maxArgs = 32766
	// maxInline is the longest list that is bound value by value. Longer ones
	// travel as one JSON array, so that a tree of query.MaxNodes filters
	// stays below maxArgs and few distinct statements are prepared.
	maxInline = 7
)

// compiler writes SQL text and its arguments, which are all bound. It knows
// nothing of a database: the same input gives the same output.
//
// An expression that it writes is true exactly when its filter holds; it may be
// NULL instead of false, since AND, OR and WHERE treat NULL as false, and Not
// is written so that it is never NULL.
type compiler struct {
	layout *layout
	text   strings.Builder
	args   []any
	err    error
}

func (c *compiler) write(parts ...string) {
	for _, p := range parts {
		c.text.WriteString(p)
	}
}

// bind writes a placeholder for a value.
func (c *compiler) bind(value any) {
	c.args = append(c.args, value)
	c.text.WriteByte('?')
}

func (c *compiler) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// filter writes f. row is what the statement calls the record's row; d is what
// it walks, which always has ref, time and id (and often is the record's row).
func (c *compiler) filter(f query.Filter, row string) {
	switch f := f.(type) {
	case query.And:
		c.chain(f, row, " AND ", true)
	case query.Or:
		c.chain(f, row, " OR ", false)
	case query.Not:
		c.write("(")
		c.filter(f.Filter, row)
		c.write(") IS NOT TRUE")
	case query.Text:
		c.write("(")
		c.words(f.Words)
		c.write(")")
	case query.Attribute:
		if c.layout.parts == "" {
			c.fail(fmt.Errorf("%s records have no attributes", c.layout.kind))
			return
		}
		c.write("(EXISTS (SELECT 1 FROM ", c.layout.parts, " AS p WHERE p.ref = d.ref")
		c.attribute(f, "p")
		c.write(")) IS TRUE")
	default:
		c.leaf(f, row)
	}
}

// words writes that each word is among those of the record.
func (c *compiler) words(words []string) {
	if len(words) == 0 {
		c.constant(true)
	}
	for i, w := range words { // at most query.MaxWords
		if i > 0 {
			c.write(" AND ")
		}
		// IS TRUE keeps SQLite from turning the EXISTS into a join that
		// might be walked in another order than the page's.
		c.write("(EXISTS (SELECT 1 FROM ", c.layout.words, " AS w WHERE w.word = ")
		c.bind(w)
		c.write(" AND w.time = d.time AND w.id = d.id)) IS TRUE")
	}
}

// chain joins filters in a balanced tree: SQLite bounds an expression's depth,
// and a flat chain of a thousand would be as deep as it is long.
func (c *compiler) chain(filters []query.Filter, row, operator string, empty bool) {
	switch len(filters) {
	case 0:
		c.constant(empty)
	case 1:
		c.filter(filters[0], row)
	default:
		half := len(filters) / 2
		c.write("(")
		c.chain(filters[:half], row, operator, empty)
		c.write(operator)
		c.chain(filters[half:], row, operator, empty)
		c.write(")")
	}
}

// needsRow tells whether f is on a column that only the record's row has.
func needsRow(f query.Filter) bool {
	switch f := f.(type) {
	case query.And:
		return slices.ContainsFunc(f, needsRow)
	case query.Or:
		return slices.ContainsFunc(f, needsRow)
	case query.Not:
		return needsRow(f.Filter)
	case query.Text, query.Attribute:
		return false
	default:
		return true
	}
}

// constant writes true or false. It is bound, since SQLite drops conditions next
// to a literal false, and then can't walk the index that we name.
func (c *compiler) constant(value bool) {
	number := int64(0)
	if value {
		number = 1
	}
	c.bind(number)
}

// leaf writes a predicate on one field.
func (c *compiler) leaf(f query.Filter, row string) {
	name := fieldOf(f)
	field, err := c.layout.field(name)
	if err != nil {
		c.fail(err)
		return
	}
	column := row + "." + name
	if name == "time" || name == "id" {
		// A unary plus hides the column from the planner. The window and
		// the order alone say how these are walked.
		column = "+" + column
	}
	switch f := f.(type) {
	case query.Equal:
		c.oneOf(field, column, []string{f.Value})
	case query.AnyOf:
		c.oneOf(field, column, f.Values)
	case query.Exists:
		c.write(column, " IS NOT NULL")
	case query.Prefix:
		c.prefix(field, column, f.Value)
	case query.Range:
		c.between(field, column, f)
	case query.CIDR:
		first, last := networkBounds(f.Net)
		c.write("(", column, " >= ")
		c.bind(first)
		c.write(" AND ", column, " <= ")
		c.bind(last)
		c.write(")")
	}
}

// fieldOf returns the field that a leaf is on, "" for what is no such leaf.
func fieldOf(f query.Filter) string {
	switch f := f.(type) {
	case query.Equal:
		return f.Field
	case query.AnyOf:
		return f.Field
	case query.Prefix:
		return f.Field
	case query.Exists:
		return f.Field
	case query.Range:
		return f.Field
	case query.CIDR:
		return f.Field
	default:
		return ""
	}
}

func (c *compiler) value(f record.Field, text string) any {
	v, err := bound(f, text)
	if err != nil {
		c.fail(fmt.Errorf("%s: %w", f.Name, err))
	}
	return v
}

// oneOf writes that a column has one of some values; none match nothing.
func (c *compiler) oneOf(f record.Field, column string, values []string) {
	bindable := make([]any, len(values))
	for i, v := range values {
		bindable[i] = c.value(f, v)
	}
	if c.err == nil {
		c.list(column, bindable)
	}
}

func (c *compiler) list(column string, values []any) {
	switch {
	case len(values) == 0:
		c.constant(false)
	case len(values) == 1:
		c.write(column, " = ")
		c.bind(values[0])
	case len(values) <= maxInline:
		c.write(column, " IN (")
		for i, v := range values {
			if i > 0 {
				c.write(", ")
			}
			c.bind(v)
		}
		c.write(")")
	default:
		value := "value"
		if _, binary := values[0].([]byte); binary {
			value = "unhex(value)"
		}
		c.write(column, " IN (SELECT ", value, " FROM json_each(")
		c.bind(c.array(values))
		c.write("))")
	}
}

// array writes values as JSON: numbers, texts, and bytes as hex digits.
func (c *compiler) array(values []any) string {
	texts := make([]any, len(values))
	for i, v := range values {
		if b, ok := v.([]byte); ok {
			v = hex.EncodeToString(b)
		}
		texts[i] = v
	}
	data, err := json.Marshal(texts)
	if err != nil {
		c.fail(err)
	}
	return string(data)
}

func (c *compiler) prefix(f record.Field, column, prefix string) {
	if f.Name == "id" { // only whole ids pass validation
		c.oneOf(f, column, []string{prefix})
		return
	}
	if f.Type != query.Keyword {
		c.fail(fmt.Errorf("%s: only text has a prefix", f.Name))
		return
	}
	c.write("(", column, " >= ")
	c.bind(prefix)
	if end, ok := afterPrefix(prefix); ok {
		c.write(" AND ", column, " < ")
		c.bind(end)
	}
	c.write(")")
}

func (c *compiler) between(f record.Field, column string, r query.Range) {
	if f.Type == query.IP || (r.Min == "" && r.Max == "") {
		c.fail(fmt.Errorf("%s: not a range", f.Name))
		return
	}
	c.write("(")
	if r.Min != "" {
		c.write(column, " >= ")
		c.bind(c.value(f, r.Min))
	}
	if r.Max != "" {
		if r.Min != "" {
			c.write(" AND ")
		}
		c.write(column, " < ")
		c.bind(c.value(f, r.Max))
	}
	c.write(")")
}

// attribute writes the parts of f over one attribute's row, each after an AND.
func (c *compiler) attribute(f query.Attribute, row string) {
	for i, values := range [][]string{f.Type, f.ID, f.OrgID, f.Name} {
		if len(values) == 0 {
			continue
		}
		bindable := make([]any, len(values))
		for j, v := range values {
			bindable[j] = v
		}
		c.write(" AND ")
		c.list(row+"."+partColumns[i], bindable)
	}
}

// statement is SQL text and the values of its placeholders, in order.
type statement struct {
	text string
	args []any
}

func (c *compiler) done() (statement, error) {
	if c.err == nil && len(c.args) > maxArgs {
		c.err = fmt.Errorf("%s values in one query are more than %d", strconv.Itoa(len(c.args)), maxArgs)
	}
	return statement{text: c.text.String(), args: c.args}, c.err
}
