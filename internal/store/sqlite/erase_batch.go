package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// eraseStatements are the statements that erase records of one kind.
type eraseStatements struct{ documents, record, parts, word, manyWords, wordsOf *sql.Stmt }

// eraseBatch erases those of some records that are doomed, with their words and
// attributes, all in one transaction or none. It returns how many there were.
func (s *Store) eraseBatch(ctx context.Context, l *layout, what query.Query, refs []int64) (int, error) {
	documents, err := documentsStatement(l, what, refs)
	if err != nil {
		return 0, err
	}
	var t eraseStatements
	release, err := s.write.getAll(ctx, l.erases(&t, documents.text))
	if err != nil {
		return 0, err
	}
	defer release()
	tx, err := s.write.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	for _, stmt := range []**sql.Stmt{&t.documents, &t.record, &t.parts, &t.word, &t.manyWords, &t.wordsOf} {
		if *stmt != nil {
			*stmt = tx.StmtContext(ctx, *stmt)
		}
	}
	found, err := readDoomed(ctx, t.documents, l.kind, documents.args)
	if err != nil || len(found.refs) == 0 {
		return 0, err
	}
	list := refList(found.refs)
	if err := t.eraseWords(ctx, found, list); err != nil {
		return 0, err
	}
	if t.parts != nil {
		if _, err := t.parts.ExecContext(ctx, list); err != nil {
			return 0, err
		}
	}
	if _, err := t.record.ExecContext(ctx, list); err != nil {
		return 0, err
	}
	return len(found.refs), tx.Commit()
}

// erases maps the text of each statement to its place in t.
func (l *layout) erases(t *eraseStatements, documents string) map[string]**sql.Stmt {
	of := func(table string) string {
		return fmt.Sprintf("DELETE FROM %s WHERE ref IN (SELECT value FROM json_each(?))", table)
	}
	byKey := func(words int) string {
		return fmt.Sprintf("DELETE FROM %s WHERE (word, time, id) IN (VALUES (?, ?, ?)%s)", l.words, strings.Repeat(", (?, ?, ?)", words-1))
	}
	all := map[string]**sql.Stmt{
		documents:        &t.documents,
		of(l.table):      &t.record,
		of(l.words):      &t.wordsOf,
		byKey(1):         &t.word,
		byKey(manyWords): &t.manyWords,
	}
	if l.parts != "" {
		all[of(l.parts)] = &t.parts
	}
	return all
}

// documentsStatement reads those of some records that are doomed.
func documentsStatement(l *layout, what query.Query, refs []int64) (statement, error) {
	c := &compiler{layout: l}
	// NOT INDEXED leaves only the way by reference.
	c.write("SELECT d.ref, d.time, d.id, d.doc FROM json_each(")
	c.bind(refList(refs))
	c.write(") AS e CROSS JOIN ", l.table, " AS d NOT INDEXED ON d.ref = e.value WHERE 1")
	c.window(windowOf(what))
	if what.Filter != nil {
		c.write(" AND ")
		c.filter(what.Filter, "d")
	}
	return c.done()
}

// refList writes references as a JSON array.
func refList(refs []int64) string {
	b := make([]byte, 0, 12*len(refs)+2)
	for i, ref := range refs {
		b = append(b, "[,"[min(i, 1)])
		b = fmt.Appendf(b, "%d", ref)
	}
	return string(append(b, ']'))
}

// doomed are the records of one batch.
type doomed struct {
	refs []int64
	// words are the entries that they have in the table of words, as far as
	// their documents can be read; unread counts the others.
	words  []wordEntry
	unread int
}

// readDoomed reads the rows of documentsStatement.
func readDoomed(ctx context.Context, stmt *sql.Stmt, kind record.Kind, args []any) (found doomed, err error) {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return doomed{}, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var row row
		var id, document sql.RawBytes
		var ref int64
		if err := rows.Scan(&ref, &row.time, &id, &document); err != nil {
			return doomed{}, err
		}
		copy(row.id[:], id)
		found.refs = append(found.refs, ref)
		r := record.New(kind)
		if err := record.Decode(document, r); err != nil {
			found.unread++
			continue
		}
		row.words = record.Words(r)
		found.words = append(found.words, row.entries(ref)...)
	}
	return found, rows.Err()
}

// eraseWords erases the entries of records in the table of words, which has no
// index by record: it would be as large as the table.
func (t eraseStatements) eraseWords(ctx context.Context, found doomed, list string) error {
	words := found.words
	sortWords(words)
	expected, erased := int64(len(words)), int64(0)
	args := make([]any, 0, 3*manyWords)
	for len(words) > 0 {
		stmt, n := t.word, 1
		if len(words) >= manyWords {
			stmt, n = t.manyWords, manyWords
		}
		args = args[:0]
		for _, e := range words[:n] {
			args = append(args, e.word, e.time, e.id[:])
		}
		result, err := stmt.ExecContext(ctx, args...)
		if err != nil {
			return err
		}
		changed, err := result.RowsAffected()
		if err != nil {
			return err
		}
		erased += changed
		words = words[n:]
	}
	if erased == expected && found.unread == 0 {
		return nil
	}
	// Another build, whose Unicode tables were older, cut a text into other
	// words, or a document is damaged. Nothing but reading all of the table
	// finds those.
	_, err := t.wordsOf.ExecContext(ctx, list)
	return err
}
