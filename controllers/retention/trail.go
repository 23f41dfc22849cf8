package retention

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
)

const (
	// ActionErase is the action of the record that a run leaves of itself.
	ActionErase = "erase"
	// targetPolicies is the type of its target.
	targetPolicies = "retentionpolicies"
	// identitySender keeps the ids of these records apart from those of senders.
	identitySender = "auditquery.dev/retention"
)

// runDetails are the details of a run's record.
type runDetails struct {
	Run      string    `json:"run"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended"`
	Finished bool      `json:"finished"`
	// AtLeast: more than Erased says may be gone.
	AtLeast  bool                 `json:"at_least,omitempty"`
	Erased   map[record.Kind]Gone `json:"erased"`
	Failures int                  `json:"failures,omitempty"`
	Errors   []string             `json:"errors,omitempty"`
}

// recordOf is the record of what a run did for a policy. Made of the same entry it is
// the same record, so that it may be written twice.
func (e *Eraser) recordOf(done entry, p PolicyReport) *record.Audit {
	a := &record.Audit{
		Common: record.Common{
			ID:   record.BulkID(record.KindAudit, identitySender, done.Run+"/"+p.Name+"/"+strconv.FormatBool(done.Closed), done.Started),
			Time: record.At(done.Ended), SourceType: record.SourceAuditQuery, Cluster: e.ClusterName,
			OrgID: record.ClusterOrg, UserID: e.Username, ActorType: actorType(e.Username),
		},
		Action: ActionErase, Outcome: record.OutcomeSuccess,
		APIName: v1alpha1.Group, TargetResourceType: targetPolicies, TargetResourceName: p.Name,
		TargetResourceOrgID: record.ClusterOrg, TargetID: p.UID,
		Description: describe(e.Username, done, p),
	}
	if p.Failures > 0 || !done.Closed {
		a.Outcome = record.OutcomeFailure
	}
	details, err := json.Marshal(map[string]any{"retention": runDetails{
		Run: done.Run, Started: done.Started, Ended: done.Ended, Finished: done.Finished, AtLeast: done.atLeast(p),
		Erased: p.Erased, Failures: p.Failures, Errors: p.Errors,
	}})
	if err == nil { // Nothing in it can fail to be encoded.
		a.Details = details
	}
	record.Normalize(a, done.Ended)
	return a
}

func actorType(username string) string {
	if strings.HasPrefix(username, "system:serviceaccount:") {
		return record.ActorServiceAccount
	}
	return record.ActorSystem
}

// describe says in one sentence what a run did:
// NAME erased 1200 Audit and 3 AuthAudit records by the retention policy "default".
// Where that is not known for sure it says so:
// NAME erased at least 1200 Audit records by the retention policy "default"; more may have been erased.
func describe(username string, done entry, p PolicyReport) string {
	var counts []string
	for _, kind := range record.Kinds() {
		if gone := p.Erased[kind]; gone.Records > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", gone.Records, kind))
		}
	}
	what := strings.Join(counts, " and ")
	switch atLeast := done.atLeast(p); {
	case atLeast && what == "":
		what = "at least 0"
	case atLeast:
		what = "at least " + what
	case what == "":
		what = "no"
	}
	text := fmt.Sprintf("%s erased %s records by the retention policy %q", username, what, p.Name)
	if done.atLeast(p) {
		text += "; more may have been erased"
	}
	switch {
	case !done.Closed:
		text += "; the run was broken off"
	case p.Failures > 0:
		text += fmt.Sprintf("; %d steps failed", p.Failures)
	}
	return text
}
