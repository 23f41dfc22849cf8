package admission_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/api/v1alpha1"
)

type change = func(*v1alpha1.RetentionPolicy)

// lockedPolicy has every field that a lock is about.
func lockedPolicy() *v1alpha1.RetentionPolicy {
	return policy("locked", "400d", func(p *v1alpha1.RetentionPolicy) {
		p.Spec = v1alpha1.RetentionPolicySpec{
			Keep: "400d", MinKeep: "13mo", MaxKeep: "7y", OrgIDs: []string{"acme", "globex"},
			Mode: v1alpha1.RetentionEnforce, Profile: v1alpha1.ProfilePCIDSS, Locked: true,
		}
	})
}

// lockCase is a change of a locked policy, and what is said about it.
type lockCase struct {
	of     *v1alpha1.RetentionPolicy
	change change
	// want is part of the refusal; none means that it is accepted.
	want string
}

// lockCases are about lockedPolicy, and about another that is for all.
func lockCases(everywhere *v1alpha1.RetentionPolicy) map[string]lockCase {
	return map[string]lockCase{
		"nothing":                  {change: func(*v1alpha1.RetentionPolicy) {}},
		"a longer keep":            {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.Keep = "2y" }},
		"a shorter keep":           {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.Keep = "13mo" }, want: "keep can't go from 400d to 13mo"},
		"a longer minKeep":         {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.MinKeep = "397d" }},
		"a shorter minKeep":        {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.MinKeep = "396d" }, want: "minKeep can't go from 13mo to 396d"},
		"no minKeep":               {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.MinKeep = "" }, want: "minKeep can't be removed"},
		"a first minKeep":          {of: everywhere, change: func(p *v1alpha1.RetentionPolicy) { p.Spec.MinKeep = "1d" }},
		"a longer maxKeep":         {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.MaxKeep = "84mo" }},
		"a shorter maxKeep":        {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.MaxKeep = "6y" }, want: "maxKeep can't go from 7y to 6y"},
		"no maxKeep":               {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.MaxKeep = "" }},
		"a first maxKeep":          {of: everywhere, change: func(p *v1alpha1.RetentionPolicy) { p.Spec.MaxKeep = "99999y" }, want: "maxKeep can't be added"},
		"two ages shorter":         {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.Keep, p.Spec.MaxKeep = "1d", "1d" }, want: "keep can't go from 400d to 1d, maxKeep can't go from 7y to 1d"},
		"dry-run":                  {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.Mode = v1alpha1.RetentionDryRun }},
		"enforced":                 {of: everywhere, change: func(p *v1alpha1.RetentionPolicy) { p.Spec.Mode = v1alpha1.RetentionEnforce }},
		"another schedule":         {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.Schedule = "@daily" }},
		"another label":            {change: func(p *v1alpha1.RetentionPolicy) { p.Labels = map[string]string{"a": "b"} }},
		"unlocked":                 {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.Locked = false }, want: "the policy is locked, and stays so"},
		"unlocked and shorter":     {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.Locked, p.Spec.Keep = false, "1d" }, want: "the policy is locked"},
		"a longer changeDelay":     {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.ChangeDelay = metav1.Duration{Duration: 48 * time.Hour} }},
		"a shorter changeDelay":    {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.ChangeDelay = metav1.Duration{Duration: 23 * time.Hour} }, want: "its changeDelay can't become shorter than 24h"},
		"a longer profile":         {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.Profile = v1alpha1.ProfileSOX }},
		"no profile":               {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.Profile = "" }, want: "its profile can't go from pci-dss to a shorter one"},
		"a first profile":          {of: everywhere, change: func(p *v1alpha1.RetentionPolicy) { p.Spec.Profile = v1alpha1.ProfileHIPAA }},
		"one more organisation":    {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.OrgIDs = []string{"initech", "globex", "acme"} }},
		"one organisation less":    {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.OrgIDs = []string{"globex", "initech"} }, want: "it goes on naming the organisations"},
		"all instead of some":      {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.OrgIDs = nil }, want: "it goes on naming the organisations"},
		"some instead of all":      {of: everywhere, change: func(p *v1alpha1.RetentionPolicy) { p.Spec.OrgIDs = []string{"acme"} }, want: "one that is for all stays for all"},
		"one kind of records less": {change: func(p *v1alpha1.RetentionPolicy) { p.Spec.Records = []v1alpha1.RecordKind{v1alpha1.RecordAudit} }, want: "it stays for the kinds of records"},
		"the kinds in another order": {change: func(p *v1alpha1.RetentionPolicy) {
			p.Spec.Records = []v1alpha1.RecordKind{v1alpha1.RecordAuthAudit, v1alpha1.RecordAudit}
		}},
		"the controller's own update": {change: func(p *v1alpha1.RetentionPolicy) { p.Finalizers = append(p.Finalizers, "example.com/other") }},
	}
}

func testLock(t *testing.T, c *cluster) {
	everywhere := policy("locked-for-all", "1y", func(p *v1alpha1.RetentionPolicy) { p.Spec.Locked = true })
	c.create(t, lockedPolicy())
	c.create(t, everywhere)
	for name, tc := range lockCases(everywhere) {
		t.Run(name, func(t *testing.T) {
			of := tc.of
			if of == nil {
				of = lockedPolicy()
			}
			wantAnswer(t, c.tryUpdate(t.Context(), c.admin, of.DeepCopy(), tc.change), tc.want)
		})
	}
	t.Run("not even the controller shortens it", func(t *testing.T) {
		shorter := func(p *v1alpha1.RetentionPolicy) { p.Spec.Keep = "1d" }
		wantAnswer(t, c.tryUpdate(t.Context(), c.as(t, controllerAccount), lockedPolicy(), shorter), "keep can't go")
	})
	t.Run("it can't be deleted", func(t *testing.T) {
		wantAnswer(t, c.admin.Delete(t.Context(), lockedPolicy()), "the policy is locked, so it can't be deleted")
	})
	t.Run("nor with all others", func(t *testing.T) {
		wantAnswer(t, c.admin.DeleteAllOf(t.Context(), &v1alpha1.RetentionPolicy{}), "the policy is locked, so it can't be deleted")
	})
	t.Run("an open policy is not bound", func(t *testing.T) {
		open := policy("open", "7y")
		c.create(t, open)
		wantAnswer(t, c.tryUpdate(t.Context(), c.admin, open, func(p *v1alpha1.RetentionPolicy) {
			p.Spec.Keep, p.Spec.Locked = "1d", true
		}), "")
	})
}

// testGreatestLock: what the API server is asked to compute stays within what it
// grants an expression.
func testGreatestLock(t *testing.T, c *cluster) {
	p := policy("greatest", "99999mo", func(p *v1alpha1.RetentionPolicy) {
		p.Spec.MinKeep, p.Spec.MaxKeep, p.Spec.Locked = "99998mo", "99999y", true
		for i := range v1alpha1.MaxRetentionOrgIDs {
			p.Spec.OrgIDs = append(p.Spec.OrgIDs, fmt.Sprintf("%s-%03d", strings.Repeat("ü", 508), i))
		}
	})
	c.create(t, p)
	wantAnswer(t, c.tryUpdate(t.Context(), c.admin, p.DeepCopy(), func(p *v1alpha1.RetentionPolicy) {
		p.Spec.Keep, p.Spec.MinKeep, p.Spec.MaxKeep = "9999y", "8400y", ""
	}), "")
	wantAnswer(t, c.tryUpdate(t.Context(), c.admin, p.DeepCopy(), func(p *v1alpha1.RetentionPolicy) {
		last := len(p.Spec.OrgIDs) - 1
		p.Spec.OrgIDs[last] = strings.Repeat("ü", 512)
	}), "it goes on naming the organisations")
}
