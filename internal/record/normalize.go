package record

import (
	"bytes"
	"time"
)

// Bounds that Normalize applies.
const (
	// MaxAttributes is how many attributes of a record are kept.
	MaxAttributes = 100
	// MaxClockSkew is how far after its ingest a record's time may lie.
	MaxClockSkew = time.Hour
	// maxInvalidIP is how much is kept of an address that is none.
	maxInvalidIP = 256
)

// Changes says what Normalize had to change. The originals, or what is left of
// them, are in the record's details under MarkKey.
type Changes struct {
	// Cut names the fields whose values were too long or, for attributes and
	// details, too many.
	Cut []string `json:"cut,omitempty"`
	// InvalidSourceIP is the address that was not one.
	InvalidSourceIP string `json:"invalid_source_ip,omitempty"`
	// OriginalTime is the time that was out of bounds; the record now has
	// its ingest time.
	OriginalTime string `json:"original_time,omitempty"`
	// DroppedDetails names members of details that were too large or too
	// deep, at most a few.
	DroppedDetails []string `json:"dropped_details,omitempty"`
}

// Any tells whether something was changed that a reader should know of.
func (c Changes) Any() bool {
	return len(c.Cut)+len(c.DroppedDetails) > 0 || c.InvalidSourceIP != "" || c.OriginalTime != ""
}

// Normalize brings r into the form that every store holds alike, and stamps it
// with the time of its ingest. It never fails: what does not fit is cut and
// marked, so that one bad value costs no record. Identity must have been given
// before, from the values as they were sent. It is idempotent.
func Normalize(r Record, ingested time.Time) Changes {
	changes, _ := normalize(r, ingested, false)
	return changes
}

// normalize is Normalize for a caller that may know that details are in canonical
// form. same is true when the record is as it was, but for the time of its ingest.
func normalize(r Record, ingested time.Time, canonical bool) (changes Changes, same bool) {
	base := r.Base()
	base.IngestTime = At(ingested)
	address := base.SourceIP
	changes.OriginalTime = normalizeTime(base)
	changes.InvalidSourceIP = normalizeIP(base)
	changes.Cut, same = cutFields(r)
	same = same && base.SourceIP == address && changes.OriginalTime == ""
	if a, ok := r.(*Audit); ok {
		cut, sameAttributes := normalizeAttributes(a)
		if cut {
			changes.Cut = append(changes.Cut, "audit_attributes")
		}
		same = same && sameAttributes
	}
	if canonical && !changes.Any() {
		return changes, same
	}
	before := base.Details
	normalizeDetails(base, &changes)
	return changes, same && bytes.Equal(before, base.Details)
}

// normalizeTime replaces a time that no store should follow: a sender with a
// wrong clock would make an index for every month that it invents, and its
// future records would never expire.
func normalizeTime(base *Common) (original string) {
	latest := base.IngestTime + Timestamp(MaxClockSkew.Microseconds())
	if base.Time >= 0 && base.Time <= latest {
		return ""
	}
	original = base.Time.String()
	base.Time = base.IngestTime
	return original
}

func normalizeIP(base *Common) (invalid string) {
	if base.SourceIP == "" {
		return ""
	}
	if addr, ok := parseIP(base.SourceIP); ok {
		base.SourceIP = addr
		return ""
	}
	invalid, _ = cutKeyword(base.SourceIP)
	base.SourceIP = ""
	return cutAt(invalid, maxInvalidIP)
}

// cutFields makes every text field valid UTF-8 of at most MaxKeywordBytes and
// returns the names of those that lost something, and whether none was changed.
func cutFields(r Record) (cut []string, same bool) {
	same = true
	for _, f := range Fields(r.Kind()) {
		text, ok := f.Pointer(r).(*string)
		if !ok {
			continue
		}
		short, shortened := cutKeyword(*text)
		same = same && short == *text
		*text = short
		if shortened {
			cut = append(cut, f.Name)
		}
	}
	return cut, same
}

// normalizeAttributes drops empty attributes, cuts long parts, and reports
// whether anything was lost, and whether nothing was changed.
func normalizeAttributes(a *Audit) (cut, same bool) {
	kept, came := a.Attributes[:0], len(a.Attributes)
	same = true
	for _, attribute := range a.Attributes {
		for _, part := range []*string{&attribute.Type, &attribute.ID, &attribute.OrgID, &attribute.Name} {
			short, shortened := cutKeyword(*part)
			same = same && short == *part
			*part = short
			cut = cut || shortened
		}
		if attribute == (Attribute{}) {
			continue
		}
		if len(kept) == MaxAttributes {
			cut = true
			break
		}
		kept = append(kept, attribute)
	}
	a.Attributes = kept
	if len(kept) == 0 {
		a.Attributes = nil
	}
	return cut, same && len(kept) == came
}
