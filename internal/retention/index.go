package retention

import (
	"time"

	"auditquery.dev/auditquery/internal/record"
)

// Stock is how many records of one org a stretch holds.
type Stock struct {
	// OrgID is empty for the records that have none.
	OrgID   string
	Records int64
	// Oldest and Newest are the times of the first and the last of them.
	Oldest, Newest time.Time
}

// Stretch is what a store keeps together: records of one kind in [From, To).
type Stretch struct {
	Kind record.Kind
	// Name is the store's name for it.
	Name string
	// From is inclusive, To exclusive. A zero end is not known: such a stretch
	// is never erased as a whole.
	From, To time.Time
	// Bytes is what it takes on disk.
	Bytes int64
	// Orgs lists who has records in it, sorted by OrgID.
	Orgs []Stock
}
