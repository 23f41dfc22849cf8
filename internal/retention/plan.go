package retention

import (
	"time"

	"auditquery.dev/auditquery/internal/record"
)

// MaxStepOrgs is how many orgs a step names that is neither Except nor Whole.
const MaxStepOrgs = 500

// Plan says what may be erased. A record is in it if and only if a step has its
// kind, its time is in [From, Until) of the step, the step selects its org, and no
// hold of the plan holds it.
type Plan struct {
	// At is the now that ages are counted from.
	At time.Time
	// Blocked are sentences that say why nothing may be erased; while there is
	// one, Steps is for show only.
	Blocked []string
	// Steps are whole stretches first, then parts, the oldest first.
	Steps []Step
	// Holds is everything that is held; every step excludes it.
	Holds []HoldSpec
	// Shown is what would be erased besides: by policies in dry-run if they
	// enforced, and by pending changes once they have settled (Due says when),
	// counted as if these moments were now.
	Shown []Step
}

// Step is the erasure of records of one stretch.
type Step struct {
	// Policy is the one whose keep or maxKeep decides. A whole stretch names the
	// one that kept its records longest.
	Policy string
	// Policies are all that decide about records of the step, sorted: more than
	// Policy for a whole stretch whose orgs have policies of their own.
	Policies []string
	Kind     record.Kind
	Stretch  string
	// From is inclusive, Until exclusive and never after the moment before which
	// records are due. A zero From is open.
	From, Until time.Time
	// Orgs are the orgs whose records go, sorted; with Except all go but those of
	// these. At most MaxStepOrgs when neither Except nor Whole. An empty list
	// selects nothing, and with Except everything.
	Orgs   []string
	Except bool
	// Whole tells that everything in the stretch is due and no hold can match:
	// it may go at once.
	Whole bool
	// Records is how many the index counts, held ones included. Exact is false
	// when Until is inside of the stretch; then it is an estimate.
	Records int64
	Exact   bool
	// Due is when the records would go; zero: now.
	Due time.Time
}
