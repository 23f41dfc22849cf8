package sender_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/test/sender"
)

func TestNumbers(t *testing.T) {
	var s sender.Numbers
	if added := s.Add(60, 10); added != 10 {
		t.Errorf("%d were new, want 10", added)
	}
	if added := s.Add(65, 10); added != 5 {
		t.Errorf("%d were new, want 5", added)
	}
	s.Add(3, 1)
	s.Add(100, 0)
	clone := s.Clone()
	clone.Add(4, 1)
	var got []int
	s.Each(func(n int) bool {
		got = append(got, n)
		return n < 73
	})
	want := []int{3, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for n, has := range map[int]bool{-1: false, 3: true, 4: false, 59: false, 74: true, 75: false, 1 << 20: false} {
		if s.Has(n) != has {
			t.Errorf("Has(%d) is %t", n, !has)
		}
	}
	if s.Len() != 16 || clone.Len() != 17 {
		t.Errorf("%d and %d numbers, want 16 and 17", s.Len(), clone.Len())
	}
}
