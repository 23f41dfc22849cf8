package sender

import "math/bits"

// Numbers is a set of events. The zero value is empty. It is not for use by several
// goroutines at once.
type Numbers struct {
	words []uint64
	count int
}

const wordBits = 64

// Add adds the numbers from first to first+count-1 and tells how many were new.
func (s *Numbers) Add(first, count int) int {
	if last := (first + count - 1) / wordBits; count > 0 && last >= len(s.words) {
		s.words = append(s.words, make([]uint64, max(last+1-len(s.words), len(s.words)))...)
	}
	added := 0
	for n := first; n < first+count; n++ {
		if !s.Has(n) {
			s.words[n/wordBits] |= 1 << (n % wordBits)
			added++
		}
	}
	s.count += added
	return added
}

// Has tells whether n is in the set.
func (s *Numbers) Has(n int) bool {
	return n >= 0 && n/wordBits < len(s.words) && s.words[n/wordBits]&(1<<(n%wordBits)) != 0
}

// Len is how many there are.
func (s *Numbers) Len() int { return s.count }

// Each calls f with each number, in order, until it returns false.
func (s *Numbers) Each(f func(n int) bool) {
	for i, word := range s.words {
		for ; word != 0; word &= word - 1 {
			if !f(i*wordBits + bits.TrailingZeros64(word)) {
				return
			}
		}
	}
}

// Clone returns a copy.
func (s *Numbers) Clone() *Numbers {
	return &Numbers{words: append([]uint64(nil), s.words...), count: s.count}
}
