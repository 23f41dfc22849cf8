package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/ingest/spool"
)

// plain are entries of 100 bytes each, so that each frame has 100 bytes more than
// its header.
func plain(n int) [][]byte {
	var out [][]byte
	for i := range n {
		out = append(out, bytes.Repeat([]byte{byte('a' + i)}, 100))
	}
	return out
}

// names are the letters of plain entries that were taken, "-" for others.
func (r *rig) names() string {
	r.t.Helper()
	r.append(sentinel)
	var out []byte
	for {
		got, err := r.Take(r.t.Context(), 1, 1)
		if err != nil {
			r.t.Fatal(err)
		}
		if id, whole := idOf(got[0].Data); whole && id == sentinel {
			return string(out)
		}
		letter := byte('-')
		if len(got[0].Data) == 100 && bytes.Equal(got[0].Data, bytes.Repeat(got[0].Data[:1], 100)) {
			letter = got[0].Data[0]
		}
		out = append(out, letter)
	}
}

const frame = spool.HeaderSize + 100

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 4; return b }
}

func cut(size int) func([]byte) []byte {
	return func(b []byte) []byte { return b[:size] }
}

func TestDamage(t *testing.T) {
	tests := map[string]struct {
		// damage is done to the first of two segments, or to the only one.
		damage     func(b []byte) []byte
		last       bool
		want       string
		wantDamage string
	}{
		"the first bit flips":        {damage: flip(0), want: "bcdef", wantDamage: "0+140:1"},
		"a bit of a header flips":    {damage: flip(frame*2 + 30), want: "abdef", wantDamage: "280+140:1"},
		"a bit of an entry flips":    {damage: flip(frame*2 + 60), want: "abdef", wantDamage: "280+140:1"},
		"a bit of the first flips":   {damage: flip(3), want: "bcdef", wantDamage: "0+140:1"},
		"a bit of the last flips":    {damage: flip(frame*5 + 60), want: "abcde", wantDamage: "700+140:1"},
		"two neighbours are damaged": {damage: func(b []byte) []byte { return flip(frame + 1)(flip(frame*2 + 77)(b)) }, want: "adef", wantDamage: "140+280:2"},
		"two apart are damaged":      {damage: func(b []byte) []byte { return flip(frame + 1)(flip(frame*3 + 77)(b)) }, want: "acef", wantDamage: "140+140:1 420+140:1"},
		"the end is missing":         {damage: cut(frame*4 + 20), want: "abcd", wantDamage: "560+20:2"},
		"an end of frames is missing": {
			damage: cut(frame * 4), want: "abcd", wantDamage: "560+0:2",
		},
		"all is missing": {damage: cut(0), want: "", wantDamage: "0+0:6"},
		"a page of zeros": {damage: func(b []byte) []byte { clear(b[100:612]); return b },
			want: "f", wantDamage: "0+700:5"},
		"bytes are missing in the middle": {damage: func(b []byte) []byte { return append(b[:150:150], b[160:]...) },
			want: "acdef", wantDamage: "140+130:1"},
		"a frame is there twice": {damage: func(b []byte) []byte { return append(append(b[:280:280], b[140:280]...), b[280:]...) },
			want: "abcdef"},
		"something follows the last frame": {damage: func(b []byte) []byte { return append(b, b[:300]...) },
			want: "abcdef"},

		"the last segment: a bit of its middle flips": {last: true, damage: flip(frame*2 + 60), want: "abdef", wantDamage: "280+140:1?"},
		"the last segment: a bit of its last flips":   {last: true, damage: flip(frame*5 + 60), want: "abcde", wantDamage: "700+140:1?"},
		"the last segment: the last header flips":     {last: true, damage: flip(frame*5 + 4), want: "abcde", wantDamage: "700+140:1?"},
		"the last segment: two of its end flip": {last: true,
			damage: func(b []byte) []byte { return flip(frame*4 + 60)(flip(frame*5 + 60)(b)) }, want: "abcd", wantDamage: "560+280:2?"},
		"the last segment: torn in an entry":     {last: true, damage: cut(frame*5 + 60), want: "abcde"},
		"the last segment: torn in a header":     {last: true, damage: cut(frame*5 + 10), want: "abcde"},
		"the last segment: torn between entries": {last: true, damage: cut(frame * 5), want: "abcde"},
		"the last segment: nothing was written":  {last: true, damage: func(b []byte) []byte { return make([]byte, len(b)) }, want: ""},
		"the last segment: its end was not written": {last: true,
			damage: func(b []byte) []byte { clear(b[512:]); return b }, want: "abc"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			_ = r.Close()
			r.disk.Damage(r.path("progress"), func([]byte) []byte { return nil })
			r.disk.Put(r.path(spool.Name(1, 1)), test.damage(spool.Frames(1, 0, plain(6)...)))
			after := ""
			if !test.last {
				r.disk.Put(r.path(spool.Name(2, 7)), spool.Frames(7, 0, []byte("after")))
				after = "-"
			}
			r.open()
			if diff := cmp.Diff(test.want+after, r.names()); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			got := ""
			lost := 0
			for _, d := range r.damaged() {
				doubt := map[bool]string{true: "?"}[d.Doubtful]
				got += fmt.Sprintf(" %d+%d:%d%s", d.Offset, d.Length, d.Records, doubt)
				lost += d.Records
				if d.Segment != spool.Name(1, 1) || int64(len(d.Bytes)) != d.Length {
					t.Errorf("segment %s, %d bytes", d.Segment, len(d.Bytes))
				}
			}
			if diff := cmp.Diff(test.wantDamage, string(bytes.TrimSpace([]byte(got)))); diff != "" {
				t.Errorf("damage (-want +got):\n%s", diff)
			}
			want := int64(len(test.want+after) + lost)
			if st := r.Stats(); st.Found != want || st.Records != want-int64(lost)+1 {
				t.Errorf("found %d records, %d now; want %d found", st.Found, st.Records, want)
			}
		})
	}
}

// TestWhatWasDurableIsNotDoubtful: the frame behind the damaged one says that all
// before it was durable; so does the progress file.
func TestWhatWasDurableIsNotDoubtful(t *testing.T) {
	for name, test := range map[string]struct {
		damage    int
		end       func(r *rig)
		wantDoubt bool
	}{
		"before the last write":              {damage: 50, end: (*rig).kill},
		"in the last write":                  {damage: 5 * frame, end: (*rig).kill, wantDoubt: true},
		"in the last write of one that ends": {damage: 5 * frame, end: (*rig).reopen},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *spool.Options) { o.SegmentBytes = 1 << 20 })
			for _, e := range plain(6) {
				var b spool.Batch
				b.Add(func(dst []byte) []byte { return append(dst, e...) })
				if err := r.Append(t.Context(), &b); err != nil {
					t.Fatal(err)
				}
			}
			// It is damaged while the spool does not look.
			r.disk.Damage(r.path(r.segments()[0]), flip(test.damage))
			test.end(r)
			_ = r.names()
			d := r.damaged()
			if len(d) != 1 || d[0].Records != 1 || d[0].Doubtful != test.wantDoubt {
				t.Errorf("damage:\n%s", describe(d))
			}
		})
	}
}

func TestATruncatedEndThatWasAcknowledgedIsDamage(t *testing.T) {
	r := newRig(t, func(o *spool.Options) { o.SegmentBytes = 1 << 20 })
	r.append(span(0, 5)...)
	_ = r.Close()
	r.disk.Damage(r.path(r.segments()[0]), func(b []byte) []byte { return b[:len(b)-10] })
	r.open()
	ids, _ := r.drain()
	if d := r.damaged(); len(ids) != 4 || len(d) != 1 || d[0].Records != 1 || d[0].Doubtful {
		t.Errorf("%d entries; damage:\n%s", len(ids), describe(d))
	}
}

func TestDamageIsToldBeforeReadingGoesOn(t *testing.T) {
	r := newRig(t, func(o *spool.Options) { o.SegmentBytes = 1 << 20 })
	r.append(span(0, 5)...)
	at := len(entry(0)) + len(entry(1)) + 2*spool.HeaderSize + 50
	r.disk.Damage(r.path(r.segments()[0]), flip(at))
	r.refuse(errMade)
	if got := r.take(10); len(got) != 2 {
		t.Errorf("took %d entries, want the 2 before the damage", len(got))
	}
	for range 2 {
		if _, err := r.Take(t.Context(), 10, 1<<20); !errors.Is(err, errMade) {
			t.Errorf("got %v, want the error of Damaged", err)
		}
	}
	if st := r.Stats(); st.Records != 5 {
		t.Errorf("%d records, want 5", st.Records)
	}
	r.refuse(nil)
	if got := r.take(10); len(got) != 2 {
		t.Errorf("took %d entries, want the 2 behind the damage", len(got))
	}
	if st := r.Stats(); st.Records != 4 || len(r.damaged()) != 1 {
		t.Errorf("%d records; damage:\n%s", st.Records, describe(r.damaged()))
	}
}

// TestDamageOfConfirmedRecordsIsNothing: they are safe elsewhere.
func TestDamageOfConfirmedRecordsIsNothing(t *testing.T) {
	r := newRig(t, func(o *spool.Options) { o.SegmentBytes = 1 << 20 })
	r.append(span(0, 5)...)
	r.confirm(r.take(3)...)
	_ = r.Close()
	r.disk.Damage(r.path(r.segments()[0]), flip(50))
	r.open()
	ids, _ := r.drain()
	if d := r.damaged(); len(ids) != 2 || len(d) != 0 {
		t.Errorf("%v; damage:\n%s", ids, describe(d))
	}
}

// TestAnEntryCantPassForFrames: an entry that holds frames, made as well as
// somebody can who does not know the marker, is never read as such.
func TestAnEntryCantPassForFrames(t *testing.T) {
	r := newRig(t, func(o *spool.Options) { o.SegmentBytes = 1 << 20 })
	var b spool.Batch
	b.Add(func(dst []byte) []byte { return append(dst, spool.Frames(1, 0, plain(3)...)...) })
	b.Add(func(dst []byte) []byte { return append(dst, plain(1)[0]...) })
	if err := r.Append(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	r.disk.Damage(r.path(r.segments()[0]), flip(20))
	if got := r.names(); got != "a" {
		t.Errorf("came out: %q", got)
	}
}
