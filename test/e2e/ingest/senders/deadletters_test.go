package senders_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/receiver"
)

// keeper runs `auditquery deadletter` on the folder of a receiver, which goes on.
type keeper struct {
	receiver *receiver.Receiver
	prefix   string
}

// run returns what a command printed, for people and for programs, and its exit status.
func (k keeper) run(t *testing.T, args ...string) (out, errOut string, status int) {
	t.Helper()
	args = append([]string{"deadletter"}, append(args, "--dead-letter-dir="+k.receiver.DeadLetterDir())...)
	command := exec.CommandContext(t.Context(), theProgram(t), args...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), command.ProcessState.ExitCode()
}

// must is run for a command that has to succeed.
func (k keeper) must(t *testing.T, args ...string) string {
	t.Helper()
	out, errOut, status := k.run(t, args...)
	if status != 0 {
		t.Fatalf("auditquery deadletter %v: status %d: %s%s", args, status, out, errOut)
	}
	return out
}

func (k keeper) replay(t *testing.T, id string) (out string, status int) {
	t.Helper()
	out, _, status = k.run(t, "replay", id, "--store=elasticsearch",
		"--elasticsearch-url="+theElasticsearch(t).URL(), "--elasticsearch-index-prefix="+k.prefix)
	return out, status
}

// letter is a dead letter as the command writes it.
type letter struct {
	ID       string
	Cause    string
	Source   string
	Reason   string
	RecordID record.ID `json:"record_id"`
	Document json.RawMessage
	Excerpt  json.RawMessage
}

// list returns letters, those of a cause if one is given.
func (k keeper) list(t *testing.T, cause string) []letter {
	t.Helper()
	args := []string{"list", "-o", "json", "--limit=0"}
	if cause != "" {
		args = append(args, "--cause="+cause)
	}
	var letters []letter
	for decoder := json.NewDecoder(strings.NewReader(k.must(t, args...))); decoder.More(); {
		var l letter
		if err := decoder.Decode(&l); err != nil {
			t.Fatal(err)
		}
		letters = append(letters, l)
	}
	return letters
}

// collide sends things again under ids that they have, with other content.
func collide(t *testing.T, r *receiver.Receiver, prefix string) {
	t.Helper()
	d := doorOf(t, r, cluster)
	before := drained(t, r, prefix).DeadLetters["collision"]
	for name, test := range map[string]struct {
		way string
		// other changes the content and not the identity.
		other func([]byte) []byte
	}{
		"event":  {way: "the audit webhook", other: replace(`"code":200`, `"code":418`)},
		"record": {way: "the original API", other: replace(`"user_id":"alice"`, `"user_id":"mallory"`)},
	} {
		t.Run(name, func(t *testing.T) {
			w := ways()[test.way]
			first := w.item(t, thing{name: "twice-" + name})
			d.post(t, w.path, w.contentType, w.body(first)).want(t, w.status)
			drained(t, r, prefix)
			neighbours := [][]byte{w.item(t, thing{name: "beside-" + name + "-1"}), test.other(bytes.Clone(first)), w.item(t, thing{name: "beside-" + name + "-2"})}
			d.post(t, w.path, w.contentType, w.body(neighbours...)).want(t, w.status)
		})
	}
	counted := drained(t, r, prefix)
	if got := counted.DeadLetters["collision"] - before; got != 2 {
		t.Errorf("%d collisions are dead letters, want 2", got)
	}
	store := openStore(t, prefix)
	if diff := cmp.Diff(once("twice-event", "twice-record"), namesOf(t, store, "twice-")); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(once("beside-event-1", "beside-event-2", "beside-record-1", "beside-record-2"), namesOf(t, store, "beside-")); diff != "" {
		t.Errorf("stored beside them (-want +got):\n%s", diff)
	}
	t.Run("its dead letters", func(t *testing.T) { lookAfterLetters(t, r, prefix) })
}

// lookAfterLetters does with the dead letters of a receiver what an operator would:
// one collision is resolved in favour of the letter, another against it, and what is
// malformed is thrown away.
func lookAfterLetters(t *testing.T, r *receiver.Receiver, prefix string) {
	t.Helper()
	k := keeper{receiver: r, prefix: prefix}
	all, collisions := k.list(t, ""), k.list(t, "collision")
	if len(collisions) != 2 {
		t.Fatalf("there are the collisions %+v", collisions)
	}
	table := k.must(t, "list", "--limit=0")
	for _, l := range all {
		if l.ID == "" || l.Reason == "" || !strings.Contains(table, l.ID) {
			t.Errorf("the table does not show %+v:\n%s", l, table)
		}
	}
	ofEvent, ofRecord := collisions[0], collisions[1]
	if ofEvent.Source != "kubernetes/"+cluster {
		ofEvent, ofRecord = ofRecord, ofEvent
	}
	k.wantBoth(t, ofEvent, "twice-event", `"response_code":418`, func(a *record.Audit) bool { return a.ResponseCode == 200 })
	k.wantBoth(t, ofRecord, "twice-record", `"user_id":"mallory"`, func(a *record.Audit) bool { return a.UserID == "alice" })
	if shown := k.must(t, "show", ofRecord.ID); !strings.Contains(shown, "collision") || !strings.Contains(shown, "mallory") {
		t.Errorf("shown is:\n%s", shown)
	}

	k.replayAll(t, ofRecord)
	t.Run("discarded letters are gone, and only they", func(t *testing.T) { k.discardAll(t, ofEvent.ID) })
	t.Run("the receiver goes on", func(t *testing.T) {
		w := ways()["the audit webhook"]
		doorOf(t, r, cluster).post(t, w.path, w.contentType, w.body([]byte("null"), w.item(t, thing{name: "beside-last"}))).want(t, http.StatusOK)
		if got := k.list(t, ""); len(got) != 1 {
			t.Errorf("there are the letters %+v", got)
		}
		drained(t, r, prefix)
		theAudit(t, prefix, "beside-last")
	})
}

// replayAll replays a collision before and after its cause is gone, and what cannot be.
func (k keeper) replayAll(t *testing.T, ofRecord letter) {
	t.Helper()
	t.Run("a replay changes nothing while the other is stored", func(t *testing.T) {
		if out, status := k.replay(t, ofRecord.ID); status != 1 || !strings.Contains(out, ofRecord.ID+"  collision") {
			t.Errorf("status %d: %s", status, out)
		}
		k.wantBoth(t, ofRecord, "twice-record", `"user_id":"mallory"`, func(a *record.Audit) bool { return a.UserID == "alice" })
	})
	t.Run("what is malformed cannot be replayed", func(t *testing.T) {
		malformed := k.list(t, "malformed")
		if out, status := k.replay(t, malformed[0].ID); status != 1 || !strings.Contains(out, malformed[0].ID+"  kept") {
			t.Errorf("status %d: %s", status, out)
		}
		if diff := cmp.Diff(malformed, k.list(t, "malformed")); diff != "" {
			t.Errorf("the letters changed:\n%s", diff)
		}
	})
	t.Run("a replay stores it once the other is gone", func(t *testing.T) {
		erase(t, k.prefix, ofRecord.RecordID)
		if out, status := k.replay(t, ofRecord.ID); status != 0 || !strings.Contains(out, ofRecord.ID+"  stored") {
			t.Errorf("status %d: %s", status, out)
		}
		refresh(t, k.prefix)
		if got := theAudit(t, k.prefix, "twice-record"); got.UserID != "mallory" {
			t.Errorf("stored is %+v", got)
		}
		if _, errOut, status := k.run(t, "show", ofRecord.ID); status == 0 || !strings.Contains(errOut, ofRecord.ID) {
			t.Errorf("the letter is still there (status %d: %s)", status, errOut)
		}
	})
}

// discardAll discards the letter about twice-event, then those of a cause, then all.
func (k keeper) discardAll(t *testing.T, id string) {
	t.Helper()
	k.must(t, "discard", id)
	if left := k.list(t, "collision"); len(left) > 0 {
		t.Errorf("left are %+v", left)
	}
	if got := theAudit(t, k.prefix, "twice-event"); got.ResponseCode != http.StatusOK {
		t.Errorf("stored is %+v", got)
	}
	tooLarge := k.list(t, "too_large")
	k.must(t, "discard", "--all", "--cause=malformed")
	if diff := cmp.Diff(tooLarge, k.list(t, "")); diff != "" || len(tooLarge) == 0 {
		t.Errorf("left are (-want +got):\n%s", diff)
	}
	if out := k.must(t, "discard", "--all"); !strings.Contains(out, fmt.Sprint(len(tooLarge))) {
		t.Errorf("of %d letters it says: %s", len(tooLarge), out)
	}
	if left := k.list(t, ""); len(left) > 0 {
		t.Errorf("left are %+v", left)
	}
}

// wantBoth fails the test unless the letter has one content of a record and the store
// the other.
func (k keeper) wantBoth(t *testing.T, l letter, name, inLetter string, inStore func(*record.Audit) bool) {
	t.Helper()
	if !bytes.Contains(l.Document, []byte(inLetter)) || !bytes.Contains(l.Document, []byte(name)) {
		t.Errorf("the letter does not hold %s: %s", inLetter, l.Document)
	}
	if got := theAudit(t, k.prefix, name); !inStore(got) || got.ID != l.RecordID {
		t.Errorf("stored is %+v", got)
	}
}

// theAudit is the only audit of a name.
func theAudit(t *testing.T, prefix, name string) *record.Audit {
	t.Helper()
	found := audits(t, openStore(t, prefix), query.Equal{Field: "target_resource_name", Value: name})
	if len(found) != 1 {
		t.Fatalf("%d audits are of %s", len(found), name)
	}
	return found[0]
}

// erase removes a record from the store, as no command of ours does.
func erase(t *testing.T, prefix string, id record.ID) {
	t.Helper()
	ids := encode(t, map[string]any{"query": map[string]any{"ids": map[string]any{"values": []string{id.String()}}}})
	found, err := theElasticsearch(t).Do(t.Context(), http.MethodPost, "/"+prefix+"*/_search", ids)
	if err != nil {
		t.Fatal(err)
	}
	var hits struct {
		Hits struct {
			Hits []struct {
				Index string `json:"_index"`
				ID    string `json:"_id"`
			}
		}
	}
	if err := json.Unmarshal(found, &hits); err != nil || len(hits.Hits.Hits) != 1 {
		t.Fatalf("%v: %s", err, found)
	}
	hit := hits.Hits.Hits[0]
	if _, err := theElasticsearch(t).Do(t.Context(), http.MethodDelete, "/"+hit.Index+"/_doc/"+hit.ID+"?refresh=true", nil); err != nil {
		t.Fatal(err)
	}
}
