package spool_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/ingest/spool/spooltest"
)

var histories = flag.Int("histories", 400, "how many random histories of a spool are tried")

// model is what must be true of a spool.
type model struct {
	*rig
	random *rand.Rand
	nextID uint64
	// acknowledged are the entries that Append took and that were not confirmed,
	// tried those of which nobody knows.
	acknowledged, tried map[uint64]bool
	// confirmed may be given out again, by a later life only.
	confirmed map[uint64]bool
	// out are the entries that were taken in this life and not confirmed.
	out []taken
	// flips is how many records may be missing, because a bit of them flipped.
	flips int
}

// TestHistories tries random histories of appends, confirmations, failures, crashes
// and power cuts: every acknowledged entry comes out until it was confirmed, none is
// altered, none is invented, none twice in one life, and what flipped bits have cost
// is reported.
func TestHistories(t *testing.T) {
	for seed := range *histories {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { tryHistory(t, uint64(seed)) }) {
			return
		}
	}
}

func tryHistory(t *testing.T, seed uint64) {
	m := &model{
		rig: newRig(t, func(o *spool.Options) {
			o.SegmentBytes = 1<<9 + int64(seed*977%8192)
			o.MaxBytes = 256 << 10
		}),
		random:       rand.New(rand.NewPCG(seed, 3)),
		acknowledged: map[uint64]bool{}, tried: map[uint64]bool{}, confirmed: map[uint64]bool{},
	}
	flips := seed%3 == 0
	for range 60 {
		switch k := m.random.IntN(100); {
		case k < 45:
			m.appendSome()
		case k < 70:
			m.takeSome()
		case k < 85:
			m.confirmSome()
		case k < 91:
			m.failNext()
		case k < 95:
			m.endLife(m.powerOff)
		case k < 97:
			m.endLife(m.disk.Kill)
		case k < 98 && flips:
			// Not in the same life as a power cut: a flipped bit beside a torn
			// write counts as torn.
			m.endLife(func() { _ = m.Close() })
			m.endLife(func() { _ = m.Close(); m.flipOne() })
		default:
			m.endLife(func() { _ = m.Close() })
		}
	}
	m.disk.SetCapacity(0)
	m.endLife(func() { _ = m.Close() })
	m.takeAll()
	missing := 0
	for id := range m.acknowledged {
		if !slices.ContainsFunc(m.out, func(e taken) bool { return e.id == id }) {
			missing++
		}
	}
	reported := 0
	for _, d := range m.damaged() {
		reported += d.Records
		if !flips && !d.Doubtful {
			t.Errorf("damage where nothing was damaged:\n%s", describe(m.damaged()))
		}
	}
	if missing > m.flips || missing > reported {
		t.Errorf("%d entries are missing; %d bits flipped, %d records were reported damaged:\n%s",
			missing, m.flips, reported, describe(m.damaged()))
	}
	m.confirm(m.out...)
	if st := m.Stats(); st.Records != 0 {
		t.Errorf("%d records are left when all is confirmed", st.Records)
	}
}

func (m *model) appendSome() {
	var ids []uint64
	for range 1 + m.random.IntN(12) {
		m.nextID++
		ids = append(ids, m.nextID)
		m.tried[m.nextID] = true
	}
	err := m.Append(m.t.Context(), batch(ids...))
	if err != nil {
		return
	}
	for _, id := range ids {
		m.acknowledged[id] = true
	}
}

func (m *model) takeSome() {
	if st := m.Stats(); st.Records > int64(len(m.out)) {
		m.takeAtMost(1 + m.random.IntN(20))
	}
}

// takeAtMost takes when there is something, be it damage only.
func (m *model) takeAtMost(n int) {
	// Behind damage there may be nothing, which a Take would wait for.
	m.nextID++
	id := m.nextID
	m.tried[id] = true
	if m.Append(m.t.Context(), batch(id)) != nil {
		return
	}
	m.acknowledged[id] = true
	got, err := m.Take(m.t.Context(), n, 1<<20)
	if err != nil {
		if !errors.Is(err, spooltest.ErrPowerCut) && !errors.Is(err, errMade) {
			m.t.Fatal(err)
		}
		return
	}
	for _, e := range got {
		id, whole := idOf(e.Data)
		if !whole || !m.tried[id] {
			m.t.Fatalf("entry %d (id %d) was altered or invented", e.Seq, id)
		}
		if slices.ContainsFunc(m.out, func(o taken) bool { return o.id == id || o.seq >= e.Seq }) {
			m.t.Fatalf("entry %d (id %d) came twice, or not in its turn", e.Seq, id)
		}
		m.out = append(m.out, taken{id: id, seq: e.Seq})
	}
}

func (m *model) takeAll() {
	for m.Stats().Records > int64(len(m.out)) {
		m.takeAtMost(1000)
	}
}

func (m *model) confirmSome() {
	m.random.Shuffle(len(m.out), func(i, j int) { m.out[i], m.out[j] = m.out[j], m.out[i] })
	n := m.random.IntN(len(m.out) + 1)
	for _, e := range m.out[:n] {
		m.Confirm(e.seq)
		delete(m.acknowledged, e.id)
		m.confirmed[e.id] = true
	}
	m.out = slices.Delete(m.out, 0, n)
	slices.SortFunc(m.out, func(a, b taken) int { return int(a.seq) - int(b.seq) })
	if m.random.IntN(3) == 0 {
		// What the housekeeper does now and then.
		m.WriteProgress()
	}
}

func (m *model) failNext() {
	ops := []spooltest.Operation{
		spooltest.Write, spooltest.Sync, spooltest.SyncDir, spooltest.Truncate,
		spooltest.Create, spooltest.Remove, spooltest.Rename, spooltest.Read,
	}
	switch m.random.IntN(4) {
	case 0:
		m.disk.SetCapacity(m.disk.Used() + int64(m.random.IntN(2000)))
	case 1:
		m.disk.SetCapacity(0)
	case 2:
		m.disk.CutAfter(1+m.random.IntN(8), m.random)
	default:
		errs := make([]error, 1+m.random.IntN(3))
		for i := range errs {
			errs[i] = errMade
			if m.random.IntN(4) == 0 {
				errs[i] = fmt.Errorf("%w: %w", errMade, syscall.ENOSPC)
			}
		}
		m.disk.Fail(ops[m.random.IntN(len(ops))], errs...)
	}
}

func (m *model) powerOff() { m.disk.PowerCut(m.random) }

// endLife ends the spool in some way and opens it again.
func (m *model) endLife(end func()) {
	m.disk.Fail(spooltest.Write)
	end()
	_ = m.Close()
	m.disk.Kill()
	// A spool that is opened on a full disk can't write down what is doubtful.
	m.disk.SetCapacity(0)
	m.out = nil
	m.open()
}

// flipOne flips a bit of a segment.
func (m *model) flipOne() {
	names := m.segments()
	if len(names) == 0 {
		return
	}
	name := m.path(names[m.random.IntN(len(names))])
	if size := len(m.disk.Content(name)); size > 0 {
		m.disk.Damage(name, flip(m.random.IntN(size)))
		m.flips++
	}
}
