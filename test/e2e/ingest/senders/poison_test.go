package senders_test

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// way is one of the ways in: how it takes a body of items, and what it answers.
type way struct {
	path, contentType   string
	begin, between, end string
	// item is a thing as this way takes it.
	item   func(t *testing.T, x thing) []byte
	status int
}

func ways() map[string]way {
	return map[string]way{
		"the audit webhook": {
			path: kubernetesPath(cluster), contentType: typeJSON, status: http.StatusOK,
			begin: `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[`, between: ",", end: "]}",
			item: func(t *testing.T, x thing) []byte { return encode(t, x.event()) },
		},
		"the original API": {
			path: bulkPath, contentType: typeJSON, status: http.StatusCreated, begin: `{"events":[`, between: ",", end: "]}",
			item: func(t *testing.T, x thing) []byte { return encode(t, x.bulkEvent()) },
		},
		"lines": {
			path: recordsPath, contentType: typeLines, status: http.StatusOK, between: "\n", end: "\n",
			item: func(t *testing.T, x thing) []byte { return encode(t, x.audit()) },
		},
		"an array": {
			path: recordsPath, contentType: typeJSON, status: http.StatusOK, begin: "[", between: ",", end: "]",
			item: func(t *testing.T, x thing) []byte { return encode(t, x.audit()) },
		},
	}
}

func (w way) body(items ...[]byte) []byte {
	return slices.Concat([]byte(w.begin), bytes.Join(items, []byte(w.between)), []byte(w.end))
}

// fate is what becomes of the item that is odd.
type fate int

const (
	// stored means marked or mended, and stored.
	stored fate = iota
	// refused means that a sender is told, who looks at each item's status; one
	// who does not has it put into the dead letters.
	refused
	// fatal means that nothing behind it can be read: the sender is told, and what
	// came before it is stored.
	fatal
)

// TestPoisonedBatches puts each poison between two good things, on each way.
func TestPoisonedBatches(t *testing.T) {
	const prefix = "poison"
	r := startReceiver(t, prefix, "--ingest-client-orgs="+cluster+"=*")
	d := doorOf(t, r, cluster)
	var batches []*poisonedBatch
	for _, wayName := range slices.Sorted(maps.Keys(ways())) {
		for _, name := range slices.Sorted(maps.Keys(poisons())) {
			p, w := poisons()[name], ways()[wayName]
			if p.on != nil && !slices.Contains(p.on, wayName) {
				continue
			}
			want, ok := p.wantOn[wayName]
			if !ok {
				want = p.want
			}
			b := &poisonedBatch{poison: p, way: w, want: want, name: fmt.Sprintf("poison-%d", len(batches))}
			batches = append(batches, b)
			t.Run(wayName+", "+name, func(t *testing.T) { b.send(t, d) })
		}
	}
	counted := drained(t, r, prefix)
	store := openStore(t, prefix)
	found := map[string]*record.Audit{}
	for _, a := range audits(t, store, query.Prefix{Field: "target_resource_name", Value: "poison-"}) {
		if found[a.TargetResourceName] != nil {
			t.Errorf("%s is stored twice", a.TargetResourceName)
		}
		found[a.TargetResourceName] = a
	}
	letters := int64(0)
	for _, b := range batches {
		b.wantIn(t, found)
		letters += b.wantLetters()
	}
	if counted.DeadLettered != letters {
		t.Errorf("%d dead letters, want %d: %v", counted.DeadLettered, letters, counted.DeadLetters)
	}
	if diff := cmp.Diff([]string{"malformed", "too_large"}, slices.Sorted(maps.Keys(positive(counted.DeadLetters)))); diff != "" {
		t.Errorf("causes (-want +got):\n%s", diff)
	}
	t.Run("a collision", func(t *testing.T) { collide(t, r, prefix) })
}

// poisonedBatch is one poison on one way.
type poisonedBatch struct {
	poison
	way  way
	want fate
	name string
	sent string
}

func (b *poisonedBatch) send(t *testing.T, d door) {
	t.Helper()
	before, odd, after := thing{name: b.name + "-before"}, thing{name: b.name + "-odd"}, thing{name: b.name + "-after"}
	body := b.way.body(b.way.item(t, before), b.spoil(b.way.item(t, odd)), b.way.item(t, after))
	b.sent = t.Name()
	a := d.post(t, b.way.path, b.way.contentType, body)
	if b.want == fatal {
		a.want(t, http.StatusBadRequest)
		return
	}
	a.want(t, b.way.status)
	b.wantTold(t, a)
}

// wantTold looks at what the answer says of the items. The audit webhook reads no
// answers.
func (b *poisonedBatch) wantTold(t *testing.T, a answer) {
	t.Helper()
	switch b.way.path {
	case bulkPath:
		var answer bulkAnswer
		a.into(t, &answer)
		success, discarded := 2, 1
		if b.want == stored {
			success, discarded = 3, 0
		}
		if len(answer.Success) != success || len(answer.Discard) != discarded || len(answer.Retry) != 0 {
			t.Errorf("want %d successes and %d discarded: %s", success, discarded, a)
		}
		for _, outcome := range answer.Discard {
			if outcome.Status != "invalid" || outcome.Message == "" {
				t.Errorf("the odd one is %+v", outcome)
			}
		}
	case recordsPath:
		var answer recordsAnswer
		a.into(t, &answer)
		want := []int{}
		if b.want == refused {
			want = append(want, 1)
		}
		if diff := cmp.Diff(want, answer.rejected()); diff != "" || answer.Accepted != 3-len(want) {
			t.Errorf("rejected (-want +got):\n%s%s", diff, a)
		}
	}
}

// wantIn looks for the three things in what was stored.
func (b *poisonedBatch) wantIn(t *testing.T, found map[string]*record.Audit) {
	t.Helper()
	if found[b.name+"-before"] == nil {
		t.Errorf("%s: what came before it is not stored", b.sent)
	}
	if after := found[b.name+"-after"]; (after == nil) != (b.want == fatal) {
		t.Errorf("%s: what came after it is %v", b.sent, after)
	}
	odd := found[b.name+"-odd"]
	if (odd == nil) != (b.want != stored) {
		t.Errorf("%s: stored is %+v", b.sent, odd)
		return
	}
	if odd == nil || b.check == nil {
		return
	}
	if problem := b.check(odd); problem != "" {
		t.Errorf("%s: %s", b.sent, problem)
	}
}

// wantLetters is how many dead letters the batch leaves: none where the sender is told
// of each item.
func (b *poisonedBatch) wantLetters() int64 {
	if b.want == refused && b.way.path != bulkPath {
		return 1
	}
	return 0
}
