package retention_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

// TestTheRules holds the examples of docs/retention.md. Records are due before the
// noon of the date.
func TestTheRules(t *testing.T) {
	type want = map[string]string
	cases := map[string]struct {
		policies []retention.Policy
		want     want // by org
	}{
		"without a policy nothing is ever erased": {nil, want{"acme": "never"}},
		"a policy for all erases at its keep": {
			[]retention.Policy{policy("default", keep("400d"))}, want{"acme": "2025-10-20", "": "2025-10-20"},
		},
		"months count by the calendar": {
			[]retention.Policy{policy("default", keep("13mo"))}, want{"acme": "2025-10-24"},
		},
		"dry-run alone erases nothing": {
			[]retention.Policy{policy("default", dryRun)}, want{"acme": "never"},
		},
		"a longer keep in dry-run protects": {
			[]retention.Policy{policy("default"), policy("try", keep("2y"), dryRun)}, want{"acme": "2024-11-24"},
		},
		"a shorter keep in dry-run changes nothing": {
			[]retention.Policy{policy("default"), policy("try", keep("30d"), dryRun)}, want{"acme": "2025-11-24"},
		},
		"a maxKeep in dry-run is no duty": {
			[]retention.Policy{policy("default"), policy("try", keep("30d"), maxKeep("60d"), dryRun)},
			want{"acme": "2025-11-24"},
		},
		"of policies for all the longest keep counts": {
			[]retention.Policy{policy("a", keep("1y")), policy("b", keep("400d")), policy("c", keep("7mo"))},
			want{"acme": "2025-10-20"},
		},
		"a policy that names the org is more specific, also with a shorter keep": {
			[]retention.Policy{policy("default", keep("7y")), policy("acme", keep("90d"), orgs("acme"))},
			want{"acme": "2026-08-26", "globex": "2019-11-24", "": "2019-11-24"},
		},
		"naming one org is not more specific than naming many": {
			[]retention.Policy{policy("one", keep("90d"), orgs("acme")), policy("many", keep("2y"), orgs("acme", "globex"))},
			want{"acme": "2024-11-24", "globex": "2024-11-24", "initech": "never"},
		},
		"a named dry-run policy protects an org against the one for all": {
			[]retention.Policy{policy("default"), policy("acme", keep("3y"), orgs("acme"), dryRun)},
			want{"acme": "2023-11-24", "globex": "2025-11-24"},
		},
		"a named dry-run policy does not make an org's keep shorter": {
			[]retention.Policy{policy("default"), policy("acme", keep("30d"), orgs("acme"), dryRun)},
			want{"acme": "2025-11-24"},
		},
		"dry-run for all is less specific than an enforced policy that names the org": {
			[]retention.Policy{policy("try", keep("7y"), dryRun), policy("acme", keep("90d"), orgs("acme"))},
			want{"acme": "2026-08-26", "globex": "never"},
		},
		"no policy undercuts a minKeep, however specific it is": {
			[]retention.Policy{
				policy("floor", keep("2y"), minKeep("1y")), policy("acme", keep("30d"), orgs("acme")),
			},
			want{"acme": "2025-11-24", "globex": "2024-11-24"},
		},
		"a minKeep in dry-run is a floor as well": {
			[]retention.Policy{
				policy("pci", keep("12mo"), minKeep("12mo"), dryRun), policy("acme", keep("30d"), orgs("acme")),
			},
			want{"acme": "2025-11-24", "globex": "never"},
		},
		"the greatest minKeep counts": {
			[]retention.Policy{
				policy("a", minKeep("1y")), policy("b", keep("3y"), minKeep("3y"), dryRun),
				policy("acme", keep("30d"), orgs("acme")),
			},
			want{"acme": "2023-11-24"},
		},
		"a maxKeep ends a longer keep of another policy": {
			[]retention.Policy{policy("long", keep("7y")), policy("duty", keep("1y"), maxKeep("2y"))},
			want{"acme": "2024-11-24"},
		},
		"also one that is less specific": {
			[]retention.Policy{policy("long", keep("7y"), orgs("acme")), policy("duty", keep("1y"), maxKeep("2y"))},
			want{"acme": "2024-11-24", "globex": "2025-11-24"},
		},
		"a keep that ends before maxKeep is not prolonged by it": {
			[]retention.Policy{policy("duty", keep("1y"), maxKeep("2y"))}, want{"acme": "2025-11-24"},
		},
		"of two maxKeeps the smallest counts": {
			[]retention.Policy{
				policy("long", keep("7y")), policy("a", maxKeep("3y")), policy("b", maxKeep("2y")),
			},
			want{"acme": "2024-11-24"},
		},
		"a maxKeep below the floor is a conflict, and the record goes at the floor": {
			[]retention.Policy{policy("floor", keep("7y"), minKeep("3y")), policy("duty", keep("1y"), maxKeep("2y"))},
			want{"acme": "2023-11-24"},
		},
		"an invalid policy keeps what it matches": {
			[]retention.Policy{policy("default"), policy("typo", orgs("acme"), invalid)},
			want{"acme": "never", "globex": "2025-11-24"},
		},
		"one that contradicts itself is invalid, whoever says otherwise": {
			[]retention.Policy{policy("default"), policy("odd", keep("1y"), minKeep("2y"), dryRun)},
			want{"acme": "never"},
		},
		"one without a keep never falls back to a default": {
			[]retention.Policy{policy("default"), policy("odd", keep(""), orgs("acme"))}, want{"acme": "never"},
		},
		"one that names no kind keeps all kinds": {
			[]retention.Policy{policy("default"), policy("odd", kinds())}, want{"acme": "never"},
		},
		"one of an unknown mode is invalid": {
			[]retention.Policy{policy("default"), policy("odd", func(r *retention.Rule) { r.Mode = "Enforced" })},
			want{"acme": "never"},
		},
		"a policy for the other kind counts for nothing": {
			[]retention.Policy{policy("default", kinds(record.KindAuthAudit))}, want{"acme": "never"},
		},
		"366 days and a year are compared by what they are today": {
			[]retention.Policy{policy("a", keep("366d")), policy("b", keep("1y"))}, want{"acme": "2025-11-23"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := want{}
			for org := range c.want {
				got[org] = cutoff(t, settled(c.policies...), record.KindAudit, org, now())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("records are due before (-want +got):\n%s", diff)
			}
		})
	}
}

func TestContradictions(t *testing.T) {
	cases := map[string]struct {
		policy retention.Policy
		want   string
	}{
		"none": {policy("p"), ""},
		"minKeep, keep and maxKeep may be the same": {
			policy("p", minKeep("12mo"), maxKeep("1y")), "",
		},
		"a keep that may be shorter than a profile's": {
			policy("p", keep("365d"), minKeep("12mo")), "keep 365d is, or can be, shorter than minKeep 12mo",
		},
		"a maxKeep below keep": {
			policy("p", maxKeep("11mo")), "maxKeep 11mo is, or can be, shorter than keep 1y",
		},
		"no keep":      {policy("p", keep("")), "it has no keep"},
		"no kind":      {policy("p", kinds()), "it names no kind of record"},
		"unknown mode": {policy("p", func(r *retention.Rule) { r.Mode = "On" }), `its mode "On" is neither Enforce nor DryRun`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.policy.Rule.Contradiction()); diff != "" {
				t.Errorf("contradiction (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConflicts(t *testing.T) {
	floor := policy("floor", keep("7y"), minKeep("3y"))
	cases := map[string]struct {
		policies []retention.Policy
		want     map[string][]string
	}{
		"a maxKeep below a floor": {
			[]retention.Policy{floor, policy("duty", maxKeep("2y"))},
			map[string][]string{"floor": {"duty"}, "duty": {"floor"}},
		},
		"a floor in dry-run counts": {
			[]retention.Policy{policy("floor", keep("7y"), minKeep("3y"), dryRun), policy("duty", maxKeep("2y"))},
			map[string][]string{"floor": {"duty"}, "duty": {"floor"}},
		},
		"a duty in dry-run does not": {
			[]retention.Policy{floor, policy("duty", maxKeep("2y"), dryRun)}, map[string][]string{},
		},
		"a maxKeep that is the floor": {
			[]retention.Policy{floor, policy("duty", maxKeep("36mo"))}, map[string][]string{},
		},
		"a maxKeep that is below the floor in some years": {
			[]retention.Policy{floor, policy("duty", maxKeep("1095d"), keep("30d"))},
			map[string][]string{"floor": {"duty"}, "duty": {"floor"}},
		},
		"other orgs": {
			[]retention.Policy{
				policy("floor", keep("7y"), minKeep("3y"), orgs("acme")), policy("duty", maxKeep("2y"), orgs("globex")),
			},
			map[string][]string{},
		},
		"an org in common": {
			[]retention.Policy{
				policy("floor", keep("7y"), minKeep("3y"), orgs("acme", "x")), policy("duty", maxKeep("2y"), orgs("globex", "x")),
			},
			map[string][]string{"floor": {"duty"}, "duty": {"floor"}},
		},
		"other kinds": {
			[]retention.Policy{
				policy("floor", keep("7y"), minKeep("3y"), kinds(record.KindAudit)),
				policy("duty", maxKeep("2y"), kinds(record.KindAuthAudit)),
			},
			map[string][]string{},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := map[string][]string{}
			for _, p := range settled(c.policies...).Policies() {
				if len(p.Conflicts) > 0 {
					got[p.Name] = p.Conflicts
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("conflicts (-want +got):\n%s", diff)
			}
		})
	}
}
