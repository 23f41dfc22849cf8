package admission_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/retention"
)

// testAges asks the API server of every pair of some ages whether a lock lets the
// one become the other. The formulas of the admission policy and those of the
// controller have nothing in common but what they are to say.
func testAges(t *testing.T, c *cluster) {
	known := knownAges()
	for i, from := range slices.Concat(known, randomAges(t)) {
		t.Run("from "+from, func(t *testing.T) {
			p := policy(fmt.Sprintf("age-%d", i), from, func(p *v1alpha1.RetentionPolicy) { p.Spec.Locked = true })
			c.create(t, p)
			for _, to := range append(rivals(t, from), known...) {
				want := ""
				if !parse(t, to).Covers(parse(t, from)) {
					want = fmt.Sprintf("keep can't go from %s to %s", from, to)
				}
				changed := p.DeepCopy()
				changed.Spec.Keep = to
				if !wantAnswer(t, c.admin.Update(t.Context(), changed, client.DryRunAll), want) {
					t.Fatalf("from %s to %s", from, to)
				}
			}
		})
	}
}

// knownAges are of every unit, around leap days and the centuries without.
func knownAges() []string {
	return strings.Fields("1d 28d 31d 365d 366d 400d 1460d 1461d 2555d 2556d 2557d 36524d 36525d 99999d " +
		"1mo 2mo 3mo 11mo 12mo 13mo 47mo 48mo 84mo 1200mo 3199mo 4800mo 99999mo 1y 4y 7y 8y 100y 200y 201y 400y 99999y")
}

// randomAges are months, up to what is comparable with days, and the days that these
// have at least, and one more.
func randomAges(t *testing.T) []string {
	random := rand.New(rand.NewPCG(1, 2))
	var ages []string
	for range 30 {
		months := fmt.Sprintf("%dmo", 1+random.IntN(3200))
		shortest := parse(t, months).Shortest()
		ages = append(ages, months, fmt.Sprintf("%dd", shortest), fmt.Sprintf("%dd", shortest+1))
	}
	return ages
}

// rivals are the ages in days, or in months, that are just long enough to take the
// place of an age in the other unit, and just too short.
func rivals(t *testing.T, age string) []string {
	a := parse(t, age)
	var list []string
	add := func(count int, unit string) {
		if count >= 1 && count <= 99_999 {
			list = append(list, fmt.Sprintf("%d%s", count, unit))
		}
	}
	if strings.HasSuffix(age, "d") {
		const daysInMonths = 30.436875
		about := int(float64(a.Longest()) / daysInMonths)
		for months := about - 2; months <= about+3; months++ {
			add(months, "mo")
		}
		return list
	}
	for _, days := range []int{a.Shortest() - 1, a.Shortest(), a.Longest() - 1, a.Longest(), a.Longest() + 1} {
		add(days, "d")
	}
	return list
}

func parse(t *testing.T, text string) retention.Age {
	t.Helper()
	age, err := retention.ParseAge(text)
	if err != nil {
		t.Fatal(err)
	}
	return age
}
