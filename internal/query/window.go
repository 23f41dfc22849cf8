package query

import "time"

func window(from, to time.Time) (time.Time, time.Time, error) {
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return from, to, invalid("from", "%s is not before to, %s; from is inclusive, to is exclusive",
			from.UTC().Format(time.RFC3339Nano), to.UTC().Format(time.RFC3339Nano))
	}
	return end(from), end(to), nil
}

// end is clamp for the ends of a window, where the zero time is an open end.
func end(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return clamp(t)
}

// clamp moves an instant into what stores can hold, rounding up to the
// microsecond: records hold whole microseconds, so an instant between two of
// them bounds the same records as the later one, in both ends of a window.
func clamp(t time.Time) time.Time {
	switch {
	case t.Before(minTime):
		return minTime
	case t.After(maxTime):
		return maxTime
	}
	t = t.UTC()
	if whole := t.Truncate(time.Microsecond); !whole.Equal(t) {
		return whole.Add(time.Microsecond)
	}
	return t
}

// storable tells whether a record can have this time, which Canonical accepted.
func storable(value string) bool {
	t, err := time.Parse(time.RFC3339Nano, value)
	return err == nil && !t.Before(minTime) && t.Before(maxTime)
}

// bound canonicalises one end of a range; empty is open. Instants are moved and
// rounded as the ends of a window are.
func (c *canonicaliser) bound(field, value string, t FieldType, path string) (string, error) {
	if value == "" {
		return "", nil
	}
	canonical, err := c.value(field, value, path)
	if err != nil || t != Time {
		return canonical, err
	}
	instant, err := time.Parse(time.RFC3339Nano, value)
	if err != nil {
		return "", invalid(path, "%s", err)
	}
	return c.value(field, clamp(instant).Format(time.RFC3339Nano), path)
}
