package record

// isCanonical tells whether details are as normalizeDetails would leave them: an
// object within the bounds, compact, without duplicate names, whose strings are
// written as we write them. Nearly all are, since we wrote them or their sender
// did as we do; false only means that it takes a closer look.
func isCanonical(details []byte) bool {
	if len(details) == 0 || len(details) > MaxDetailsBytes || details[0] != '{' {
		return false
	}
	s := scanner{text: string(details), canonical: true}
	return s.skip(MaxDetailsDepth) && s.ended()
}
