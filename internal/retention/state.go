package retention

import "time"

// PolicyState is what Memory knows of a policy that the API has.
type PolicyState struct {
	Name string
	// Rule is what it says; while it is being deleted, what it said last.
	Rule     Rule
	Deleting bool
	// Settled tells that no change of the policy is pending. If one is, what it
	// said before protects as well until SettledAt, which else is zero. That is
	// later than its own delay where a former set of policies has it that another
	// policy's change keeps in force for longer.
	Settled   bool
	SettledAt time.Time
	// Gone tells that it is being deleted and protects nothing any more: its
	// finalizer may go.
	Gone bool
	// Conflicts names up to MaxConflicts policies that it conflicts with, sorted:
	// the maxKeep of the one is, or can be, below the minKeep of the other, and
	// a record can match both.
	Conflicts []string
}

// MaxConflicts is how many conflicting policies a state names.
const MaxConflicts = 20

// Phase is the state of a hold. Only a released one does not hold.
type Phase string

// The phases of a hold.
const (
	// Pending holds are honoured, but a batch that began before they were seen
	// may not have ended.
	Pending Phase = "Pending"
	// Active holds hold.
	Active Phase = "Active"
	// Releasing holds are being deleted and hold until their ReleaseAt.
	Releasing Phase = "Releasing"
	// Missing holds hold. The API lost them before they were released, and
	// until one of the same name is there nothing at all is erased.
	Missing Phase = "Missing"
)

// HoldState is what Memory knows of a hold.
type HoldState struct {
	Name  string
	Spec  HoldSpec
	Phase Phase
	// Since is when it was first seen, ActiveAt when its present spec is sure to
	// hold.
	Since, ActiveAt time.Time
	// ReleaseAt is when all that is held by it will have been released; zero
	// while nobody asked for that.
	ReleaseAt time.Time
	// FormerUntil is until when something is held that a change took out of the
	// spec; zero when there is nothing.
	FormerUntil time.Time
	// Gone tells that it was released: its finalizer may go.
	Gone bool
}
