package retention

import "time"

// Memory is everything that must survive a restart: what the policies and holds
// are, and what they were as long as that protects records. The zero Memory never
// saw anything. A Memory is never changed: Observe returns a new one, and both may
// be used by many goroutines.
//
// Its JSON is below 4 MiB with 1,000 policies and 1,000 holds that name a dozen of
// orgs each, however often they change.
type Memory struct {
	// seen is the latest moment at which something was observed. Protections
	// end by it where a clock has gone back.
	seen time.Time
	// policies are those that the API has, sorted by name.
	policies []knownPolicy
	// rules is the set in force: of every policy that is not being deleted,
	// sorted by name.
	rules []namedRule
	// former are sets that were in force before a change that has not settled,
	// sorted by when it will have.
	former []formerSet
	// paused, when it is not past, says that until then nothing is erased:
	// there were more changes than could be kept.
	paused time.Time
	// holds are those that hold, and those that the API still has, sorted by
	// name.
	holds []knownHold
}

// knownPolicy is a policy that the API has.
type knownPolicy struct {
	Name string `json:"name"`
	UID  string `json:"uid,omitempty"`
	// Rule of a policy that is being deleted is its last one before that.
	Rule     Rule `json:"rule"`
	Deleting bool `json:"deleting,omitempty"`
}

// namedRule is a policy's rule in a set of rules.
type namedRule struct {
	name string
	rule Rule
}

// formerSet is a set of rules that still protects what it kept.
type formerSet struct {
	until time.Time
	rules []namedRule
}

// knownHold is a hold that holds, or that the API still has.
type knownHold struct {
	Name string   `json:"name"`
	UID  string   `json:"uid,omitempty"`
	Spec HoldSpec `json:"spec"`
	// Since is when it was first seen, Active when it is sure to hold.
	Since  time.Time `json:"since"`
	Active time.Time `json:"active"`
	// Releasing is since when it is being deleted and nothing suspends that.
	Releasing time.Time `json:"releasing,omitzero"`
	// Suspended tells that it is being deleted and an annotation keeps it.
	Suspended bool `json:"suspended,omitempty"`
	// Missing tells that the API lost it before it was released.
	Missing bool `json:"missing,omitempty"`
	// Former is what it held before changes, sorted by when that ends.
	Former []formerSpec `json:"former,omitempty"`
}

// formerSpec is what a hold held before a change.
type formerSpec struct {
	Until time.Time `json:"until"`
	Spec  HoldSpec  `json:"spec"`
}

// Seen is the latest moment at which something was observed.
func (m Memory) Seen() time.Time { return m.seen }

// at is the moment by which protections end: a clock that went back ends none
// again that had ended, and prolongs none.
func (m Memory) at(now time.Time) time.Time { return later(m.seen, plain(now)) }

// plain is a moment as JSON keeps it.
func plain(t time.Time) time.Time { return t.UTC().Round(0) }

// after adds a delay, up to the last year that JSON can write.
func after(t time.Time, delay time.Duration) time.Time {
	end := time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	if sum := t.Add(delay); sum.Before(end) {
		return sum
	}
	return end
}
