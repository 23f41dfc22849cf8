package ship

import (
	"fmt"
	"time"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/ingest/spool"
)

// SetAside returns what a spool calls for a damaged stretch: its bytes become a
// dead letter and the records that are lost with it are counted. The clock is the
// system's when now is nil.
func SetAside(letters LetterBox, ledger Ledger, now func() time.Time) func(spool.Damage) error {
	if now == nil {
		now = time.Now
	}
	return func(d spool.Damage) error {
		reason := fmt.Sprintf("%d bytes of the spool's segment %s, from byte %d, are damaged on the disk; %d records were in them",
			d.Length, d.Segment, d.Offset, d.Records)
		if d.Doubtful {
			reason += ", perhaps torn by a crash before anybody was told that they are kept"
		}
		letter := deadletter.OfBytes(sourceUnknown, deadletter.Damaged, reason, d.Bytes, now())
		if err := letters.Put(letter); err != nil {
			return fmt.Errorf("set a damaged part of the spool aside: %w", err)
		}
		ledger.DeadLettered(sourceUnknown, deadletter.Damaged, d.Records)
		return nil
	}
}
