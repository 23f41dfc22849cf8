package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// applicationID marks our files ("AuQy"), so that we never write into
	// another program's database.
	applicationID = 0x41755179
	// schemaVersion is the version of the tables that this build reads and
	// writes. A change of the field table needs a new one and a migration.
	schemaVersion = 1
)

// migrations[v] brings a file of version v to v+1.
func migrations() []func(context.Context, *sql.Tx) error {
	return []func(context.Context, *sql.Tx) error{createTables}
}

func createTables(ctx context.Context, tx *sql.Tx) error {
	for _, statement := range definitions() {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// definitions returns the statements that make the tables of version 1.
//
// Indices are ascending and read backwards: newer records then go to the end of
// the index on time, where SQLite fills its pages whole.
func definitions() []string {
	statements := []string{"CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID"}
	all := layouts()
	for _, kind := range record.Kinds() {
		statements = append(statements, all[kind].definitions()...)
	}
	return statements
}

func (l *layout) definitions() []string {
	// ref is named because attributes and words refer to it; a VACUUM may
	// number unnamed rows anew.
	columns := []string{"ref INTEGER PRIMARY KEY"}
	for _, f := range l.fields {
		column := f.Name + " " + columnType(f)
		if slices.Contains([]string{"id", "time", "ingest_time"}, f.Name) {
			column += " NOT NULL"
		}
		columns = append(columns, column)
	}
	columns = append(columns, "doc BLOB NOT NULL")
	statements := []string{
		fmt.Sprintf("CREATE TABLE %s (%s) STRICT", l.table, strings.Join(columns, ", ")),
		fmt.Sprintf("CREATE UNIQUE INDEX %s ON %s (id)", l.index("id"), l.table),
		// Unique as well, since id is; saying so would only be checked twice.
		fmt.Sprintf("CREATE INDEX %s ON %s (time, id)", l.index("time"), l.table),
	}
	for _, f := range l.fields {
		if f.Selective {
			statements = append(statements, fmt.Sprintf("CREATE INDEX %s ON %s (%s, time, id) WHERE %[3]s IS NOT NULL",
				l.index(f.Name), l.table, f.Name))
		}
	}
	statements = append(statements, fmt.Sprintf("CREATE TABLE %s (word TEXT NOT NULL, time INTEGER NOT NULL, "+
		"id BLOB NOT NULL, ref INTEGER NOT NULL, PRIMARY KEY (word, time, id)) STRICT, WITHOUT ROWID", l.words))
	if l.parts != "" {
		statements = append(statements, l.partDefinitions()...)
	}
	return statements
}

func (l *layout) partDefinitions() []string {
	statements := []string{fmt.Sprintf("CREATE TABLE %s (ref INTEGER NOT NULL, number INTEGER NOT NULL, "+
		"time INTEGER NOT NULL, id BLOB NOT NULL, %s TEXT, PRIMARY KEY (ref, number)) STRICT, WITHOUT ROWID",
		l.parts, strings.Join(partColumns[:], " TEXT, "))}
	for _, column := range partColumns[1:] { // a type is too common to go by
		statements = append(statements, fmt.Sprintf("CREATE INDEX %s_by_%s ON %[1]s (%[2]s, time, id) WHERE %[2]s IS NOT NULL",
			l.parts, column))
	}
	return statements
}

// migrate makes or updates the tables, in one transaction that also excludes
// another process doing the same.
func migrate(ctx context.Context, writer *sql.DB) error {
	tx, err := writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	version, err := checkOwner(ctx, tx)
	if err != nil {
		return err
	}
	for _, step := range migrations()[version:] {
		if err := step(ctx, tx); err != nil {
			return err
		}
	}
	if version < schemaVersion {
		marks := fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, schemaVersion)
		if _, err := tx.ExecContext(ctx, marks); err != nil {
			return err
		}
	}
	for _, l := range layouts() {
		if err := l.checkColumns(ctx, tx); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// checkOwner returns the version of a file that is ours or empty.
func checkOwner(ctx context.Context, tx *sql.Tx) (int, error) {
	var owner, version, tables int
	for pragma, into := range map[string]*int{
		"PRAGMA application_id":              &owner,
		"PRAGMA user_version":                &version,
		"SELECT count(*) FROM sqlite_schema": &tables,
	} {
		if err := tx.QueryRowContext(ctx, pragma).Scan(into); err != nil {
			return 0, err
		}
	}
	conflict := func(format string, args ...any) error {
		return &store.Error{Reason: store.Conflict, Op: opOpen, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case owner == 0 && version == 0 && tables == 0:
		return 0, nil
	case owner != applicationID:
		return 0, conflict("the file is a database of another program; name a file of its own")
	case version > schemaVersion:
		return 0, conflict("the file has version %d, and this build knows versions up to %d; start the newer build again", version, schemaVersion)
	case version < 1:
		return 0, conflict("the file says that it is ours but not of which version")
	}
	return version, nil
}

// checkColumns refuses a file that lacks a column: queries on it would fail one
// by one, much later.
func (l *layout) checkColumns(ctx context.Context, tx *sql.Tx) error {
	var have sql.NullString
	row := tx.QueryRowContext(ctx, "SELECT group_concat(name, ' ') FROM pragma_table_info(?)", l.table)
	if err := row.Scan(&have); err != nil {
		return err
	}
	columns := strings.Fields(have.String)
	for _, f := range l.fields {
		if !slices.Contains(columns, f.Name) {
			return &store.Error{Reason: store.Conflict, Op: opOpen,
				Message: fmt.Sprintf("table %s has no column %s although its version is %d", l.table, f.Name, schemaVersion)}
		}
	}
	return nil
}
