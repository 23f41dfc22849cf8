package spool_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"auditquery.dev/auditquery/internal/ingest/spool"
)

// The test binary is also the process that is killed.
const childDir = "SPOOL_TEST_CHILD_DIR"

const childFirst = "SPOOL_TEST_CHILD_FIRST"

// TestChild is no test of its own: it appends to a spool, says what was
// acknowledged, and confirms half of what it takes, until it is killed.
func TestChild(t *testing.T) {
	folder := os.Getenv(childDir)
	if folder == "" {
		t.Skip("only as the process that is killed")
	}
	next, err := strconv.ParseUint(os.Getenv(childFirst), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	s, err := spool.Open(t.Context(), spool.Options{Dir: folder, SegmentBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	say := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(os.Stdout, line)
	}
	for writer := range uint64(4) {
		go func() {
			for id := next + writer; ; id += 12 {
				ids := []uint64{id, id + 4, id + 8}
				if err := s.Append(context.Background(), batch(ids...)); err != nil {
					say("error " + err.Error())
					return
				}
				say(fmt.Sprint("ack ", ids[0], " ", ids[1], " ", ids[2]))
			}
		}()
	}
	for {
		got, err := s.Take(context.Background(), 50, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range got {
			if id, whole := idOf(e.Data); whole && id%2 == 0 {
				say(fmt.Sprint("confirm ", id))
				s.Confirm(e.Seq)
			}
		}
	}
}

// TestKilledProcess kills a process that appends to a spool on a real disk, again
// and again: all that it had acknowledged and not confirmed comes out.
func TestKilledProcess(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "deep", "spool")
	random := rand.New(rand.NewPCG(5, 6))
	acknowledged, confirmed := map[uint64]bool{}, map[uint64]bool{}
	for round := range uint64(5) {
		childUntil(t, folder, round<<32, 20+random.IntN(400), acknowledged, confirmed)
		out := takeFound(t, folder, round)
		for id := range acknowledged {
			if !out[id] && !confirmed[id] {
				t.Errorf("entry %d was acknowledged, and is lost", id)
			}
		}
		for id := range out {
			// In the order of its numbers, a child is at most 12 a writer ahead of
			// what it has said.
			if id>>32 > round {
				t.Errorf("entry %d was invented", id)
			}
		}
	}
}

// childUntil runs the child until it has said n lines, and kills it.
func childUntil(t *testing.T, folder string, first uint64, n int, acknowledged, confirmed map[uint64]bool) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestChild$")
	child.Env = append(os.Environ(), childDir+"="+folder, childFirst+"="+strconv.FormatUint(first, 10))
	child.Stderr = os.Stderr
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for said := 0; lines.Scan(); said++ {
		if said == n {
			_ = child.Process.Kill()
		}
		fields := strings.Fields(lines.Text())
		for _, field := range fields[min(1, len(fields)):] {
			id, err := strconv.ParseUint(field, 10, 64)
			if err != nil {
				// The last line may be cut.
				continue
			}
			switch fields[0] {
			case "ack":
				acknowledged[id] = true
			case "confirm":
				confirmed[id] = true
			}
		}
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	if len(acknowledged) == 0 {
		t.Fatal("the child acknowledged nothing")
	}
}

func takeFound(t *testing.T, folder string, round uint64) map[uint64]bool {
	t.Helper()
	s, err := spool.Open(t.Context(), spool.Options{Dir: folder, SegmentBytes: 64 << 10, Damaged: func(d spool.Damage) error {
		t.Errorf("round %d: damage: %s at %d, %d bytes, %d records", round, d.Segment, d.Offset, d.Length, d.Records)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out := map[uint64]bool{}
	for range s.Stats().Found {
		got, err := s.Take(t.Context(), 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		id, whole := idOf(got[0].Data)
		if !whole || out[id] {
			t.Errorf("entry %d was altered, or came twice", got[0].Seq)
		}
		out[id] = true
	}
	return out
}

func TestTheLockOfARealFolder(t *testing.T) {
	folder := t.TempDir()
	s, err := spool.Open(t.Context(), spool.Options{Dir: folder})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := spool.Open(t.Context(), spool.Options{Dir: folder}); !errors.Is(err, spool.ErrLocked) {
		t.Errorf("got %v, want %v", err, spool.ErrLocked)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	again, err := spool.Open(t.Context(), spool.Options{Dir: folder})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
