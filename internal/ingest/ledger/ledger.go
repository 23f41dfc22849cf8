// Package ledger counts what became of the records that came in, exactly, so that
// a loss would show: what was found in the spool at the start and what was
// acknowledged since is stored, was stored before, is among the dead letters, or
// is in the spool.
package ledger

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
)

const (
	// MaxSources is how many sources are counted apart; further ones are
	// counted together as Other.
	MaxSources = 200
	// Other is the source of what has no source of its own here.
	Other = "other"
)

// Account is what became of the records of one source. Each counts from the
// process's start.
type Account struct {
	// Received came in, whole or not, wanted or not.
	Received int64
	// Acknowledged were promised to be kept: they are durable in the spool, or
	// among the dead letters already.
	Acknowledged int64
	// Stored and Duplicate are in the store; the latter were there before.
	Stored, Duplicate int64
	// DeadLettered were put aside.
	DeadLettered map[deadletter.Cause]int64
}

// SpoolState is what the spool says of itself.
type SpoolState struct {
	// Records and Bytes are in it now; MaxBytes bounds the latter.
	Records, Bytes, MaxBytes int64
	// Found is how many records were in it at the start.
	Found int64
	// Oldest is when the oldest record was appended; zero when there is none.
	Oldest time.Time
}

// Balance is the whole ledger at one moment.
type Balance struct {
	Found, Acknowledged, Stored, Duplicate, DeadLettered, InSpool int64
}

// Missing is how many records have no place. More than 0 is a loss, at any
// moment. While records are on their way between two places it can be negative,
// by those that are in the spool and not yet acknowledged, or in the store and
// not yet confirmed to the spool; when nothing is under way it is 0.
func (b Balance) Missing() int64 {
	return b.Found + b.Acknowledged - b.Stored - b.Duplicate - b.DeadLettered - b.InSpool
}

// Ledger counts. Its methods may be called concurrently. It is a Prometheus
// collector.
type Ledger struct {
	now func() time.Time
	lag prometheus.Histogram

	mutex    sync.Mutex
	accounts map[string]*Account
	spool    func() SpoolState
	letters  func() (deadletter.Usage, error)
}

// New returns an empty ledger. The clock is the system's when now is nil.
func New(now func() time.Time) *Ledger {
	if now == nil {
		now = time.Now
	}
	return &Ledger{now: now, lag: newLag(), accounts: map[string]*Account{}}
}

// Watch tells the ledger whom to ask for the state of the spool. Without it the
// spool counts as empty and has no metrics.
func (l *Ledger) Watch(spool func() SpoolState) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.spool = spool
}

// WatchLetters tells the ledger whom to ask how full the dead letters are.
func (l *Ledger) WatchLetters(usage func() (deadletter.Usage, error)) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.letters = usage
}

// Received counts records that came in.
func (l *Ledger) Received(source string, n int) {
	l.update(source, func(a *Account) { a.Received += int64(n) })
}

// Acknowledged counts records that are durable, before their sender is told so.
func (l *Ledger) Acknowledged(source string, n int) {
	l.update(source, func(a *Account) { a.Acknowledged += int64(n) })
}

// Stored counts records that the store has taken.
func (l *Ledger) Stored(source string, n int) {
	l.update(source, func(a *Account) { a.Stored += int64(n) })
}

// Duplicate counts records that the store had already.
func (l *Ledger) Duplicate(source string, n int) {
	l.update(source, func(a *Account) { a.Duplicate += int64(n) })
}

// DeadLettered counts records that are durable among the dead letters. What is
// put there at the door, without having been in the spool, is Acknowledged too,
// afterwards, so that at no moment it looks lost.
func (l *Ledger) DeadLettered(source string, cause deadletter.Cause, n int) {
	l.update(source, func(a *Account) { a.DeadLettered[cause] += int64(n) })
}

// Lag notes how long after its event a record could be found.
func (l *Ledger) Lag(d time.Duration) { l.lag.Observe(max(0, d).Seconds()) }

func (l *Ledger) update(source string, change func(*Account)) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	account := l.accounts[source]
	if account == nil {
		source = strings.ToValidUTF8(source, "?") // metrics take nothing else
		if l.accounts[source] == nil && len(l.accounts) >= MaxSources {
			source = Other
		}
		if account = l.accounts[source]; account == nil {
			account = &Account{DeadLettered: map[deadletter.Cause]int64{}}
			l.accounts[source] = account
		}
	}
	change(account)
}

// Accounts returns a copy of every source's account.
func (l *Ledger) Accounts() map[string]Account {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	accounts := make(map[string]Account, len(l.accounts))
	for source, account := range l.accounts {
		copied := *account
		copied.DeadLettered = maps.Clone(account.DeadLettered)
		accounts[source] = copied
	}
	return accounts
}

// Balance adds everything up.
func (l *Ledger) Balance() Balance { return l.snapshot().balance() }

// snapshot is what there is to tell, read in the order in which a record moves:
// whatever is among the acknowledged is then found in at least one of the places
// behind it.
type snapshot struct {
	acknowledged map[string]int64
	spool        SpoolState
	watched      bool
	accounts     map[string]Account
}

func (l *Ledger) snapshot() snapshot {
	s := snapshot{acknowledged: map[string]int64{}}
	for source, account := range l.Accounts() {
		s.acknowledged[source] = account.Acknowledged
	}
	s.spool, s.watched = l.spoolState()
	s.accounts = l.Accounts()
	for source, account := range s.accounts {
		account.Acknowledged = s.acknowledged[source]
		s.accounts[source] = account
	}
	return s
}

func (s snapshot) balance() Balance {
	b := Balance{Found: s.spool.Found, InSpool: s.spool.Records}
	for _, account := range s.accounts {
		b.Acknowledged += account.Acknowledged
		b.Stored += account.Stored
		b.Duplicate += account.Duplicate
		for _, n := range account.DeadLettered {
			b.DeadLettered += n
		}
	}
	return b
}

// ImbalanceError says that records are missing, or that there are too many.
type ImbalanceError struct{ Balance }

func (e *ImbalanceError) Error() string {
	return fmt.Sprintf("the ledger does not add up: found %d + acknowledged %d, but stored %d + duplicate %d + dead-lettered %d + in the spool %d; missing %d",
		e.Found, e.Acknowledged, e.Stored, e.Duplicate, e.DeadLettered, e.InSpool, e.Missing())
}

// Check returns an *ImbalanceError where a record is missing or too many. It is
// exact when nothing is under way; see Balance.Missing.
func (l *Ledger) Check() error {
	if b := l.Balance(); b.Missing() != 0 {
		return &ImbalanceError{Balance: b}
	}
	return nil
}

func (l *Ledger) spoolState() (SpoolState, bool) {
	l.mutex.Lock()
	spool := l.spool
	l.mutex.Unlock()
	if spool == nil {
		return SpoolState{}, false
	}
	return spool(), true
}
