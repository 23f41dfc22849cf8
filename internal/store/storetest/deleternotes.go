package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"auditquery.dev/auditquery/internal/store"
)

// notes: a note is what was written last, and is replaced only by who read that.
func notes(ctx context.Context, b *DeleterBackend, _ settings) error {
	const name = "retention"
	if note, err := b.Store.ReadNote(ctx, name); err != nil || note.Version != "" || note.Data != nil {
		return fmt.Errorf("a note that was never written is %v (%w)", note, err)
	}
	versions := []string{""}
	everyByte := make([]byte, 256)
	for i := range everyByte {
		everyByte[i] = byte(i)
	}
	for step, data := range [][]byte{[]byte(`{"a":1}`), {}, everyByte, bytes.Repeat([]byte("\xff\x00"), store.MaxNoteBytes/2), []byte("last")} {
		last := versions[len(versions)-1]
		for _, stale := range slices.Concat(versions[:len(versions)-1], []string{"none such"}) {
			if _, err := b.Store.WriteNote(ctx, name, []byte("stale"), stale); !store.IsConflict(err) {
				return fmt.Errorf("step %d: the version %q instead of %q: error %v, want Conflict", step, stale, last, err)
			}
		}
		version, err := b.Store.WriteNote(ctx, name, data, last)
		if err != nil || version == "" || version == last {
			return fmt.Errorf("step %d: the version %q became %q (%w)", step, last, version, err)
		}
		versions = append(versions, version)
		if b.Store, err = b.Reopen(ctx); err != nil {
			return err
		}
		note, err := b.Store.ReadNote(ctx, name)
		if err != nil || note.Version != version || !bytes.Equal(note.Data, data) {
			return fmt.Errorf("step %d: %d bytes of version %q came back (%w), want %d of %q", step, len(note.Data), note.Version, err, len(data), version)
		}
	}
	if note, err := b.Store.ReadNote(ctx, name+"-2"); err != nil || note.Version != "" {
		return fmt.Errorf("another note is %v (%w)", note, err)
	}
	return errors.Join(refusedNotes(ctx, b), b.sameHoldings(ctx, newNaive()))
}

// lostNotes: a note that was written and is gone is not one that never was, for
// its readers and for its writers, and others are as before.
func lostNotes(ctx context.Context, b *DeleterBackend, _ settings) error {
	versions := map[string]string{}
	for _, name := range []string{"lost", "kept"} {
		version, err := b.Store.WriteNote(ctx, name, []byte("text"), "")
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		versions[name] = version
	}
	if err := b.LoseNote(ctx, "lost"); err != nil {
		return err
	}
	for _, opened := range []string{"the store that wrote it", "one that was opened since"} {
		if note, err := b.Store.ReadNote(ctx, "lost"); !store.IsConflict(err) || note.Version != "" {
			return fmt.Errorf("%s reads a note that is lost as %v: error %w, want Conflict", opened, note, err)
		}
		for _, version := range []string{"", versions["lost"]} {
			if _, err := b.Store.WriteNote(ctx, "lost", []byte("anew"), version); !store.IsConflict(err) {
				return fmt.Errorf("%s writes a note that is lost, version %q: error %w, want Conflict", opened, version, err)
			}
		}
		if note, err := b.Store.ReadNote(ctx, "kept"); err != nil || string(note.Data) != "text" {
			return fmt.Errorf("%s reads another note as %v (%w)", opened, note, err)
		}
		if note, err := b.Store.ReadNote(ctx, "never"); err != nil || note.Version != "" {
			return fmt.Errorf("%s reads a note that never was as %v (%w)", opened, note, err)
		}
		var err error
		if b.Store, err = b.Reopen(ctx); err != nil {
			return err
		}
	}
	return nil
}

func refusedNotes(ctx context.Context, b *DeleterBackend) error {
	for name, data := range map[string][]byte{
		"": nil, strings.Repeat("n", store.MaxNoteName+1): nil, "a/b": nil, "Upper": nil, "large": make([]byte, store.MaxNoteBytes+1),
	} {
		if _, err := b.Store.WriteNote(ctx, name, data, ""); !store.IsInvalid(err) {
			return fmt.Errorf("the note %q of %d bytes: error %w, want Invalid", name, len(data), err)
		}
	}
	if _, err := b.Store.ReadNote(ctx, "a/b"); !store.IsInvalid(err) {
		return fmt.Errorf("reading a note of no name: error %w, want Invalid", err)
	}
	return nil
}

// notesTogether: of several writers who read the same version one succeeds.
func notesTogether(ctx context.Context, b *DeleterBackend, _ settings) error {
	const writers, each = 4, 10
	failures := make([]error, writers)
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for done := 0; done < each && failures[w] == nil; {
				var added bool
				added, failures[w] = increment(ctx, b.Store)
				if added {
					done++
				}
			}
		})
	}
	writing.Wait()
	note, err := b.Store.ReadNote(ctx, "counter")
	if err := errors.Join(append(failures, err)...); err != nil {
		return err
	}
	if string(note.Data) != strconv.Itoa(writers*each) {
		return fmt.Errorf("%d increments gave %s", writers*each, note.Data)
	}
	return nil
}

// increment adds one to a note that holds a number, unless another was faster.
func increment(ctx context.Context, s store.Notebook) (bool, error) {
	note, err := s.ReadNote(ctx, "counter")
	if err != nil {
		return false, err
	}
	count := 0
	if note.Version != "" {
		if count, err = strconv.Atoi(string(note.Data)); err != nil {
			return false, err
		}
	}
	_, err = s.WriteNote(ctx, "counter", []byte(strconv.Itoa(count+1)), note.Version)
	if store.IsConflict(err) {
		return false, nil
	}
	return err == nil, err
}
