package retention

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// journalNote is the note in the store that says what the run under way has
	// erased so far. It is there before anything is erased, so that a process that
	// dies leaves the trail no run that nobody knows of.
	journalNote = "retention-run"
	// journalEvery is how often it is written while a run goes on.
	journalEvery = 5 * time.Second
	// maxTellTries is how often a run tries to write its record before it leaves
	// that to the next one.
	maxTellTries = 3
	tellPause    = 50 * time.Millisecond
)

// entry is what the journal says of a run. A policy of which it says that nothing
// was erased may have erased something, until the run has ended.
type entry struct {
	Run      string         `json:"run"`
	Started  time.Time      `json:"started"`
	Ended    time.Time      `json:"ended"`
	Finished bool           `json:"finished"`
	Closed   bool           `json:"closed"`
	Policies []PolicyReport `json:"policies"`
}

// atLeast tells whether more may have been erased for a policy than is known.
func (e entry) atLeast(p PolicyReport) bool { return !e.Closed || p.AtLeast }

// journal is the note, and its last version as this process knows it.
type journal struct {
	notes   store.Notebook
	version string
}

func (j *journal) read(ctx context.Context) (entry, error) {
	note, err := j.notes.ReadNote(ctx, journalNote)
	if err != nil {
		return entry{}, fmt.Errorf("read what the last run did: %w", err)
	}
	var last entry
	if len(note.Data) > 0 {
		if err := json.Unmarshal(note.Data, &last); err != nil {
			return entry{}, fmt.Errorf("what the last run did cannot be read: %w", err)
		}
	}
	j.version = note.Version
	return last, nil
}

func (j *journal) write(ctx context.Context, e entry) error {
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode what the run did: %w", err)
	}
	version, err := j.notes.WriteNote(ctx, journalNote, data, j.version)
	if err != nil {
		return fmt.Errorf("write down what the run does: %w", err)
	}
	j.version = version
	return nil
}

// settleJournal puts a run into the trail that could not do it itself.
func (e *Eraser) settleJournal(ctx context.Context) error {
	last, err := e.journal.read(ctx)
	if err != nil || last.Run == "" {
		return err
	}
	return e.publish(ctx, last)
}

// publish writes the records of a run into the trail, and then clears the journal.
// Doing it again is harmless: the same entry makes the same records.
func (e *Eraser) publish(ctx context.Context, done entry) error {
	var records []record.Record
	for _, p := range done.Policies {
		if erased, _ := p.Totals(); erased > 0 || p.Failures > 0 || done.atLeast(p) {
			records = append(records, e.recordOf(done, p))
		}
	}
	for chunk := range slices.Chunk(records, 100) {
		if err := e.append(ctx, chunk); err != nil {
			return fmt.Errorf("write the run's own record: %w", err)
		}
	}
	return e.journal.write(ctx, entry{})
}

func (e *Eraser) append(ctx context.Context, records []record.Record) error {
	outcomes, err := e.Store.Append(ctx, records)
	if err != nil {
		return err
	}
	for i, outcome := range outcomes {
		switch outcome.Result {
		case store.Stored, store.Duplicate:
		case store.Collision:
			// The run is in the trail, told by a process of another name.
			e.Log.Info("the run's record is there already, and differs", "id", records[i].Base().ID.String())
		default:
			return fmt.Errorf("record %d of %d was %s: %w", i+1, len(records), outcome.Result, outcome.Err)
		}
	}
	return nil
}

// note writes the journal: before the first batch of each policy, and every few
// seconds.
func (r *run) note(ctx context.Context) error {
	if len(r.entry.Policies) == len(r.done) && time.Since(r.noted) < journalEvery {
		return nil
	}
	r.entry = r.summary()
	if err := r.e.journal.write(ctx, r.entry); err != nil {
		return err
	}
	r.noted = time.Now()
	return nil
}

// summary is the journal's entry as of now.
func (r *run) summary() entry {
	e := entry{Run: r.entry.Run, Started: r.started.UTC(), Ended: r.e.Clock.Now().UTC(), Finished: r.finished}
	if e.Run == "" {
		e.Run = strings.ToLower(rand.Text())
	}
	for _, p := range r.report().Policies {
		e.Policies = append(e.Policies, p)
	}
	slices.SortFunc(e.Policies, func(a, b PolicyReport) int { return strings.Compare(a.Name, b.Name) })
	return e
}

// tell puts the run into the trail, also when it was told to end. What can't be
// written now is in the journal as far as that could be written, and the next run
// begins with it.
func (r *run) tell(ctx context.Context) error {
	if len(r.done) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellTimeout)
	defer cancel()
	r.entry = r.summary()
	r.entry.Closed = true
	var err error
	for try := range maxTellTries {
		if try > 0 && sleep(ctx, tellPause<<try) != nil {
			break
		}
		if err = r.e.journal.write(ctx, r.entry); err != nil {
			continue
		}
		if err = r.e.publish(ctx, r.entry); err == nil {
			return nil
		}
	}
	return err
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
