package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// maxTransaction is how many records are written together. A transaction costs
// one sync of the disk, and holds the only writer until it ends.
const maxTransaction = 1000

// Append stores records, up to maxTransaction in one transaction.
func (s *Store) Append(ctx context.Context, records []record.Record) ([]store.Outcome, error) {
	return s.append(ctx, len(records), func(place int) (row, error) { return s.row(records[place]) })
}

// AppendPrepared is Append for prepared records, whose documents it decodes: the
// fields that can be asked for have columns. Words are those of the documents.
func (s *Store) AppendPrepared(ctx context.Context, records []record.Prepared) ([]store.Outcome, error) {
	return s.append(ctx, len(records), func(place int) (row, error) { return s.preparedRow(records[place]) })
}

func (s *Store) append(ctx context.Context, count int, encode func(place int) (row, error)) ([]store.Outcome, error) {
	if count == 0 {
		return nil, nil
	}
	ctx, done, err := s.begin(ctx, opAppend)
	if err != nil {
		return nil, err
	}
	defer done()
	rows, outcomes := encodeRows(count, encode)
	for begin := 0; begin < len(rows); begin += maxTransaction {
		chunk := rows[begin:min(begin+maxTransaction, len(rows))]
		results, err := s.transaction(ctx, chunk)
		if err != nil {
			err = failure(ctx, opAppend, err)
			if begin == 0 {
				return nil, err
			}
			for _, r := range rows[begin:] {
				outcomes[r.number] = store.Outcome{Result: store.Failed, Err: err}
			}
			break
		}
		for i, r := range chunk {
			outcomes[r.number] = results[i]
		}
	}
	return outcomes, nil
}

// row is a record as the tables hold it.
type row struct {
	number   int // its place in the call
	layout   *layout
	id       record.ID
	time     int64
	columns  []any
	document []byte
	words    []string
	parts    []record.Attribute
}

// encodeRows makes rows of records before the only writer is taken. Those that
// can never be stored get their outcome here and no row.
func encodeRows(count int, encode func(place int) (row, error)) ([]row, []store.Outcome) {
	rows := make([]row, 0, count)
	outcomes := make([]store.Outcome, count)
	for place := range count {
		encoded, err := encode(place)
		if err != nil {
			outcomes[place] = store.Outcome{Result: store.Rejected, Err: err}
			continue
		}
		encoded.number = place
		rows = append(rows, encoded)
	}
	return rows, outcomes
}

func (s *Store) row(r record.Record) (row, error) {
	if r == nil {
		return row{}, errors.New("there is no record")
	}
	if r.Base().ID.IsZero() {
		return row{}, errors.New("the record has no id")
	}
	return s.rowOf(r, record.AppendDocument(nil, r), record.Words(r))
}

func (s *Store) preparedRow(p record.Prepared) (row, error) {
	if err := p.Check(); err != nil {
		return row{}, err
	}
	r, err := p.Record()
	if err != nil {
		return row{}, err
	}
	// Not the words that it came with: erasing has to find those that are stored.
	return s.rowOf(r, p.Document, record.Words(r))
}

// rowOf makes the row of a record from what Prepare makes of it.
func (s *Store) rowOf(r record.Record, document []byte, words []string) (row, error) {
	l, ok := s.layouts[r.Kind()]
	if !ok {
		return row{}, fmt.Errorf("%q is not a kind of record", r.Kind())
	}
	base := r.Base()
	columns := make([]any, 0, len(l.fields)+1)
	for _, f := range l.fields {
		value, err := stored(f, r)
		if err != nil {
			return row{}, fmt.Errorf("record %s: %s: %w", base.ID, f.Name, err)
		}
		columns = append(columns, value)
	}
	out := row{layout: l, id: base.ID, time: int64(base.Time), document: document,
		columns: append(columns, document), words: words}
	if audit, ok := r.(*record.Audit); ok {
		out.parts = audit.Attributes
	}
	return out, nil
}

// stored is the column's value of a field of r, nil when it is absent.
func stored(f record.Field, r record.Record) (any, error) {
	switch p := f.Pointer(r).(type) {
	case *record.Timestamp:
		return int64(*p), nil
	case *record.ID:
		return p[:], nil
	case *int64:
		if *p == 0 {
			return nil, nil
		}
		return *p, nil
	case *string:
		if *p == "" {
			return nil, nil
		}
		return bound(f, *p)
	default:
		return nil, fmt.Errorf("%T cannot be filtered", p)
	}
}

// transaction writes rows, all or none.
func (s *Store) transaction(ctx context.Context, rows []row) ([]store.Outcome, error) {
	tables, release, err := s.tables(ctx, rows)
	if err != nil {
		return nil, err
	}
	defer release()
	tx, err := s.write.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	for l, t := range tables {
		tables[l] = t.in(tx)
	}
	outcomes := make([]store.Outcome, len(rows))
	words := map[*layout][]wordEntry{}
	for i := range rows {
		r := &rows[i]
		// Statements get no context: each is short, and a context costs a
		// goroutine per statement.
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var ref int64
		if outcomes[i], ref, err = tables[r.layout].insert(*r); err != nil {
			return nil, err
		}
		if outcomes[i].Result == store.Stored {
			words[r.layout] = append(words[r.layout], r.entries(ref)...)
		}
	}
	for l, entries := range words {
		if err := tables[l].insertWords(ctx, entries); err != nil {
			return nil, err
		}
	}
	return outcomes, tx.Commit()
}

// writeStatements are the statements that write one kind of record.
type writeStatements struct{ record, word, manyWords, part, lookUp *sql.Stmt }

// wordEntry is one word of a record that was stored.
type wordEntry struct {
	word string
	time int64
	id   *record.ID
	ref  int64
}

func (r *row) entries(ref int64) []wordEntry {
	entries := make([]wordEntry, len(r.words))
	for i, w := range r.words {
		entries[i] = wordEntry{word: w, time: r.time, id: &r.id, ref: ref}
	}
	return entries
}

// manyWords is how many words one statement inserts. They are half of all that
// is inserted, and a statement for each would be as costly as what it does.
const manyWords = 32

// insertWords inserts words in the order of their table, where neighbours lie on
// one page.
func (t writeStatements) insertWords(ctx context.Context, entries []wordEntry) error {
	sortWords(entries)
	args := make([]any, 0, 4*manyWords)
	for len(entries) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		stmt, n := t.word, 1
		if len(entries) >= manyWords {
			stmt, n = t.manyWords, manyWords
		}
		args = args[:0]
		for _, e := range entries[:n] {
			args = append(args, e.word, e.time, e.id[:], e.ref)
		}
		if _, err := stmt.Exec(args...); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// sortWords puts entries into the order of their table.
func sortWords(entries []wordEntry) {
	slices.SortFunc(entries, func(a, b wordEntry) int {
		return cmp.Or(strings.Compare(a.word, b.word), cmp.Compare(a.time, b.time), bytes.Compare(a.id[:], b.id[:]))
	})
}

// tables prepares what rows need. It comes before the transaction, which takes
// the only connection.
func (s *Store) tables(ctx context.Context, rows []row) (map[*layout]writeStatements, func(), error) {
	var releases []func()
	release := func() {
		for _, r := range releases {
			r()
		}
	}
	tables := map[*layout]writeStatements{}
	for _, r := range rows {
		if _, ok := tables[r.layout]; ok {
			continue
		}
		var t writeStatements
		done, err := s.write.getAll(ctx, r.layout.writes(&t))
		if err != nil {
			release()
			return nil, nil, err
		}
		releases = append(releases, done)
		tables[r.layout] = t
	}
	return tables, release, nil
}

// writes maps the text of each statement that l needs to its place in t.
func (l *layout) writes(t *writeStatements) map[string]**sql.Stmt {
	names := make([]string, 0, len(l.fields)+1)
	for _, f := range l.fields {
		names = append(names, f.Name)
	}
	names = append(names, "doc")
	word := []string{"word", "time", "id", "ref"}
	all := map[string]**sql.Stmt{
		insertInto(l.table, names, 1) + " ON CONFLICT (id) DO NOTHING": &t.record,
		insertInto(l.words, word, 1):                                   &t.word,
		insertInto(l.words, word, manyWords):                           &t.manyWords,
		fmt.Sprintf("SELECT doc FROM %s WHERE id = ?", l.table):        &t.lookUp,
	}
	if l.parts != "" {
		all[insertInto(l.parts, append([]string{"ref", "number", "time", "id"}, partColumns[:]...), 1)] = &t.part
	}
	return all
}

func insertInto(table string, columns []string, rows int) string {
	marks := "(" + strings.Join(slices.Repeat([]string{"?"}, len(columns)), ", ") + ")"
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES %s", table, strings.Join(columns, ", "),
		strings.Join(slices.Repeat([]string{marks}, rows), ", "))
}

// in returns the statements inside of a transaction.
func (t writeStatements) in(tx *sql.Tx) writeStatements {
	for _, stmt := range []**sql.Stmt{&t.record, &t.word, &t.manyWords, &t.part, &t.lookUp} {
		if *stmt != nil {
			*stmt = tx.Stmt(*stmt)
		}
	}
	return t
}

// insert writes one row with its attributes and returns its reference, or finds
// out why it is not written.
func (t writeStatements) insert(r row) (store.Outcome, int64, error) {
	result, err := t.record.Exec(r.columns...)
	if err != nil {
		return store.Outcome{}, 0, err
	}
	added, err := result.RowsAffected()
	if err != nil {
		return store.Outcome{}, 0, err
	}
	if added == 0 {
		outcome, err := t.compare(r)
		return outcome, 0, err
	}
	ref, err := result.LastInsertId()
	if err != nil {
		return store.Outcome{}, 0, err
	}
	for i, a := range r.parts {
		_, err := t.part.Exec(ref, int64(i), r.time, r.id[:], present(a.Type), present(a.ID), present(a.OrgID), present(a.Name))
		if err != nil {
			return store.Outcome{}, 0, err
		}
	}
	return store.Outcome{Result: store.Stored}, ref, nil
}

// present is text as a column holds it: absent text is NULL.
func present(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// compare tells a record that is there already from another one of its id.
func (t writeStatements) compare(r row) (store.Outcome, error) {
	var have []byte
	if err := t.lookUp.QueryRow(r.id[:]).Scan(&have); err != nil {
		return store.Outcome{}, err
	}
	same, err := record.SameContent(r.layout.kind, have, r.document)
	switch {
	case err != nil:
		return store.Outcome{}, err
	case same:
		return store.Outcome{Result: store.Duplicate}, nil
	default:
		return store.Outcome{Result: store.Collision,
			Err: fmt.Errorf("another %s with the id %s is stored", r.layout.kind, r.id)}, nil
	}
}
