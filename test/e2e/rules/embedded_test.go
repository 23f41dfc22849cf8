package rules_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/stage"
)

func TestABrokenDatabaseIsAnErrorAndNeverAShortAnswer(t *testing.T) {
	// The embedded store's server is all roles in one, in a cluster of its own.
	s := stage.StartForTest(t, stage.Options{Servers: []stage.ServerOptions{{
		Args: []string{"--store-timeout=" + storeTimeout, "--request-timeout=" + requestTimeout},
	}}})
	if err := fill(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	all := ways(t, s)
	for _, y := range all {
		seen(t, y)
	}
	database := filepath.Join(s.Dir(), "auditquery.db")
	t.Run("locked by another process", func(t *testing.T) {
		wantWholeOrRefused(t, all, func() (mend func()) { return lockDatabase(t, database) })
		wantAllGood(t, all)
	})
	t.Run("cut off", func(t *testing.T) {
		wantWholeOrRefused(t, all, func() (mend func()) {
			cutOff(t, database)
			return func() {}
		})
	})
}

// cutOff empties a database under its server, as a copy that failed would.
func cutOff(t *testing.T, database string) {
	t.Helper()
	if err := errors.Join(os.Truncate(database+"-wal", 0), os.Truncate(database, 0)); err != nil {
		t.Fatal(err)
	}
	// While the index of the log is as it was, SQLite answers from its cache,
	// whole and rightly. Its head is in the first bytes, twice.
	const head = 2 * 48
	index, err := os.OpenFile(database+"-shm", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = index.WriteAt(make([]byte, head), 0)
	if err := errors.Join(err, index.Close()); err != nil {
		t.Fatal(err)
	}
}

// wantWholeOrRefused breaks a store in the middle of a load: an answer has all
// records or says that there is none, and some do say so.
func wantWholeOrRefused(t *testing.T, ways map[string]way, breakStore func() (mend func())) {
	t.Helper()
	var refusals atomic.Int64
	l := startLoad(t, ways, func(y way, a answer) error {
		if a.status != 200 {
			refusals.Add(1)
			return refused(a)
		}
		if a.took > answerTime {
			return errors.New("it took too long: " + a.String())
		}
		return y.good(a)
	})
	l.goOn(t)
	if n := refusals.Load(); n > 0 {
		t.Errorf("%d requests were refused while all was well", n)
	}
	mend := breakStore()
	await.True(t, "requests are refused", func() bool { return refusals.Load() >= int64(2*len(ways)) })
	mend()
	l.wantNoFailure(t)
	t.Logf("%d requests were refused", refusals.Load())
}
