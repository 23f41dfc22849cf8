package hindered_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/test/controlplane"
	"auditquery.dev/auditquery/test/e2e/retention/trail"
	"auditquery.dev/auditquery/test/process"
)

// TestOneOfTwoErasersStandsStill stops one in the middle of its run, as a machine does
// that is out of memory or moved to another host. The other takes over, meets a hold
// that the first has not seen, and finishes; then the first goes on. All wait for the
// leases at the same time.
func TestOneOfTwoErasersStandsStill(t *testing.T) {
	t.Parallel()
	cluster := shared.Cluster(t)
	kubernetes := controlplane.StartForTest(t, controlplane.Options{WithoutControllerManager: true})
	duels := map[string]*duel{}
	for what, s := range map[string]stop{
		"between its check and a batch":                         {linger: callNext, after: 3},
		"between its check and the erasure of a stretch":        {linger: callStretch, after: 2},
		"when it has stopped the writes to a stretch":           {wanted: sinceBlocked(), moment: trail.Answered},
		"between that and the end of the stretch":               {wanted: sinceBlocked(), after: 1 + rand.IntN(4), moment: trail.Answered},
		"between two requests, or in the middle of one of them": {after: 50 + rand.IntN(50), moment: trail.Answered},
	} {
		d := newDuel(t, place(cluster, prefix(what)), kubernetes)
		if t.Run("it stands still "+what, func(*testing.T) { d.begin(t, s) }) {
			duels[what] = d
		}
	}
	for _, d := range duels {
		d.takeOver(t)
	}
	for what, d := range duels {
		t.Run("the other takes over from one that stood still "+what, d.end)
	}
}

// sinceBlocked wants the request that has Elasticsearch refuse writes to an index that
// is to be erased, and all that follow.
func sinceBlocked() func(*http.Request) bool {
	var blocked atomic.Bool
	return func(r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/_block/write") {
			blocked.Store(true)
		}
		return blocked.Load()
	}
}

// prefix makes the name of indices of a sentence.
func prefix(what string) string {
	return "still-" + strings.NewReplacer(" ", "-", ",", "").Replace(what)
}

// stop is where the first eraser stands still: before a call of its store, or at a
// request that it sends.
type stop struct {
	linger string
	wanted func(*http.Request) bool
	after  int
	moment trail.Moment
}

// duel is a world with two erasers.
type duel struct {
	*trail.World
	dir        string
	kubernetes *controlplane.ControlPlane
	trigger    *trail.Trigger
	namespace  string

	first, second *process.Process
	// stood is when the first stood still, held how many records of the hold that
	// came then are there.
	stood time.Time
	held  func() int
	// before is how many the first had erased.
	before int
}

func newDuel(t *testing.T, place trail.Place, kubernetes *controlplane.ControlPlane) *duel {
	t.Helper()
	d := &duel{
		World: trail.NewWorld(t, place, records), dir: t.TempDir(), kubernetes: kubernetes,
		trigger: trail.NewTrigger(t, place.URL), namespace: place.IndexPrefix,
	}
	if _, _, err := kubernetes.Kubectl(t.Context(), "create", "namespace", d.namespace); err != nil {
		t.Fatal(err)
	}
	d.tell(t)
	return d
}

// tell has the erasers see what is declared now. A file is replaced at once.
func (d *duel) tell(t *testing.T) {
	t.Helper()
	content, err := json.Marshal(d.Declared)
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(d.dir, "declared.next")
	if err := errors.Join(os.WriteFile(next, content, 0o600), os.Rename(next, filepath.Join(d.dir, "declared"))); err != nil {
		t.Fatal(err)
	}
}

// begin has the first eraser stand still; then a hold appears.
func (d *duel) begin(t *testing.T, s stop) {
	at := make(chan struct{})
	d.trigger.Set(s.wanted, s.after, s.moment, func() { close(at) })
	d.first = d.spawn(t, "first", func(o *order) {
		o.Place.URL, o.Linger, o.After = d.trigger.URL(), s.linger, s.after
	})
	d.standStill(t, s, at)
	d.stood = time.Now()
	d.held = d.hold(t)
}

// takeOver starts the second eraser when the hold is sure to hold, one batch timeout
// after it was there: what is left then has to stay. It is the machine's time that
// counts.
func (d *duel) takeOver(t *testing.T) {
	trail.LetPass(t.Context(), time.Until(d.stood.Add(retention.BatchTimeout)))
	d.before = d.Verify(t, false).Erased
	d.Declare()
	d.second = d.spawn(t, "second", func(*order) {})
}

// end waits until the second has finished, and has the first go on.
func (d *duel) end(t *testing.T) {
	d.wait(t, "second", d.second)
	after := d.Verify(t, true)
	held := d.held()
	t.Logf("the first had erased %d records; the other took over and was done %s later, with %d more, and left the %d of a hold",
		d.before, time.Since(d.stood).Round(time.Second), after.Erased, held)
	if held == 0 {
		t.Error("the hold held nothing")
	}
	if err := d.first.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	d.wait(t, "first", d.first)
	last := d.Verify(t, true)
	t.Logf("the first went on and said %q; %d records went", d.said(t, d.first), last.Erased)
}

// hold declares a hold of most of what is due, and returns how to count it.
func (d *duel) hold(t *testing.T) (count func() int) {
	t.Helper()
	due := d.Due
	h := trail.Hold("late", func(h *retention.HoldSpec) {
		for n := range trail.Users / 2 {
			h.UserIDs = append(h.UserIDs, trail.User(2*n))
		}
	})
	doomed := map[record.ID]bool{}
	for _, r := range d.Trail.Select(func(r record.Record) bool { return due(r) && h.Spec.Holds(r) }) {
		doomed[r.Base().ID] = true
	}
	d.Declared.Holds = append(d.Declared.Holds, h)
	d.tell(t)
	return func() int {
		return len(d.Trail.Select(func(r record.Record) bool { return doomed[r.Base().ID] }))
	}
}

// standStill stops the first eraser where it should, and waits until it has stopped.
func (d *duel) standStill(t *testing.T, s stop, at <-chan struct{}) {
	t.Helper()
	first := d.first
	d.until(t, "the first eraser is where it should stand still", first, func() error {
		if s.linger != "" {
			if !strings.Contains(d.said(t, first), saysHere) {
				return errors.New(d.said(t, first))
			}
			return nil
		}
		select {
		case <-at:
			return nil
		default:
			return errors.New(d.said(t, first))
		}
	})
	if err := first.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	d.until(t, "it stands still", first, func() error { return paused(first.PID()) })
}

// spawn starts an eraser that ends with the test.
func (d *duel) spawn(t *testing.T, name string, modify func(*order)) *process.Process {
	t.Helper()
	o := order{
		Place: d.Place, Declared: filepath.Join(d.dir, "declared"), Now: d.Clock.Now(), Done: filepath.Join(d.dir, name+".done"),
		Kubeconfig: d.kubernetes.Kubeconfig(), Namespace: d.namespace, Identity: name,
	}
	modify(&o)
	content, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(d.dir, name+".order")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child, err := process.Start(process.Spec{
		Name: "the " + name + " eraser", Path: self, LogPath: filepath.Join(d.dir, name+".log"), Env: append(os.Environ(), orderEnv+"="+path),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := child.Kill(); err != nil {
			t.Error(err)
		}
		<-child.Exited()
	})
	return child
}

// wait waits until an eraser has finished.
func (d *duel) wait(t *testing.T, name string, child *process.Process) {
	t.Helper()
	const patience = 4 * time.Minute
	select {
	case <-child.Exited():
	case <-time.After(patience):
		t.Fatal(child.Failure(fmt.Errorf("the %s eraser did not finish", name)))
	}
	if _, err := os.Stat(filepath.Join(d.dir, name+".done")); err != nil {
		t.Fatal(child.Err())
	}
}

// until polls while a child lives.
func (d *duel) until(t *testing.T, what string, child *process.Process, check func() error) {
	t.Helper()
	const poll, patience = 2 * time.Millisecond, 2 * time.Minute
	for deadline := time.Now().Add(patience); ; {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-child.Exited():
			t.Fatalf("waiting until %s: %v", what, child.Failure(err))
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting until %s took too long: %v", what, err)
		}
		trail.LetPass(t.Context(), poll)
	}
}

func (d *duel) said(t *testing.T, child *process.Process) string {
	t.Helper()
	content, err := os.ReadFile(child.LogPath())
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// paused returns an error while a thread of a process can still run: to send the
// signal is not to have stopped it.
func paused(pid int) error {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err == nil && len(threads) == 0 {
		err = fmt.Errorf("process %d has no threads", pid)
	}
	if err != nil {
		return err
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		// PID (NAME) STATE …, and the name can hold anything.
		if state := stat[bytes.LastIndexByte(stat, ')')+1:]; !bytes.HasPrefix(state, []byte(" T")) {
			return fmt.Errorf("%s: %.2s", path, state)
		}
	}
	return nil
}
