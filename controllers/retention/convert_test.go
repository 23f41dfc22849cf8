package retention

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

func TestConvertPolicy(t *testing.T) {
	// The age that a spec came to is compared as text.
	type result struct {
		Kinds                  []record.Kind
		OrgIDs                 []string
		Keep, MinKeep, MaxKeep string
		Mode                   retention.Mode
		Delay                  time.Duration
		Reason, Message        string
		Next                   time.Time
	}
	both := record.Kinds()
	tests := map[string]struct {
		modify func(*v1alpha1.RetentionPolicySpec)
		want   result
	}{
		"what everybody writes": {
			modify: func(*v1alpha1.RetentionPolicySpec) {},
			want:   result{Kinds: both, OrgIDs: []string{"x"}, Keep: "90d", Mode: retention.Enforce, Delay: time.Second},
		},
		"defaults are the safe ones": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { *s = v1alpha1.RetentionPolicySpec{Keep: "13mo"} },
			want:   result{Kinds: both, Keep: "13mo", Mode: retention.DryRun, Delay: 24 * time.Hour, Next: today.Add(time.Hour)},
		},
		"ids are sorted, and each is there once": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.OrgIDs = []string{"b", "a", "b"} },
			want:   result{Kinds: both, OrgIDs: []string{"a", "b"}, Keep: "90d", Mode: retention.Enforce, Delay: time.Second},
		},
		"one kind": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.Records = []v1alpha1.RecordKind{"AuthAudit"} },
			want: result{
				Kinds: []record.Kind{record.KindAuthAudit}, OrgIDs: []string{"x"}, Keep: "90d", Mode: retention.Enforce, Delay: time.Second,
			},
		},
		"a profile is a floor": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.Keep, s.Profile = "400d", "pci-dss" },
			want:   result{Kinds: both, OrgIDs: []string{"x"}, Keep: "400d", MinKeep: "12mo", Mode: retention.Enforce, Delay: time.Second},
		},
		"a longer minKeep stands above the profile": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.Keep, s.MinKeep, s.Profile = "400d", "370d", "pci-dss" },
			want:   result{Kinds: both, OrgIDs: []string{"x"}, Keep: "400d", MinKeep: "370d", Mode: retention.Enforce, Delay: time.Second},
		},
		"equal ages do not contradict": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.Keep, s.MinKeep, s.MaxKeep = "1y", "12mo", "1y" },
			want: result{
				Kinds: both, OrgIDs: []string{"x"}, Keep: "1y", MinKeep: "12mo", MaxKeep: "1y", Mode: retention.Enforce, Delay: time.Second,
			},
		},
		"an age that is none": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.Keep = "90 days" },
			want:   result{Reason: v1alpha1.ReasonInvalidAge, Message: `spec.keep: "90 days"`},
		},
		"no age": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.Keep = "" },
			want:   result{Reason: v1alpha1.ReasonInvalidAge, Message: `spec.keep: ""`},
		},
		"a floor that is none": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.MinKeep = "0d" },
			want:   result{Reason: v1alpha1.ReasonInvalidAge, Message: `spec.minKeep: "0d"`},
		},
		"a duty that is none": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.MaxKeep = "1w" },
			want:   result{Reason: v1alpha1.ReasonInvalidAge, Message: `spec.maxKeep: "1w"`},
		},
		"a profile that nobody knows": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.Profile = "gdpr" },
			want:   result{Reason: v1alpha1.ReasonInvalidAge, Message: `spec.profile: "gdpr" is none of hipaa, pci-dss, sox`},
		},
		"a keep below its floor": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.MinKeep = "91d" },
			want:   result{Reason: v1alpha1.ReasonContradiction, Message: "spec.keep: 90d can be shorter than spec.minKeep, 91d"},
		},
		"a keep that is below its floor on some dates": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.Keep, s.MinKeep = "365d", "1y" },
			want:   result{Reason: v1alpha1.ReasonContradiction, Message: "spec.keep: 365d can be shorter"},
		},
		"a keep below its profile": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.Profile = "sox" },
			want:   result{Reason: v1alpha1.ReasonContradiction, Message: "spec.keep: 90d can be shorter than the floor of spec.profile sox, 7y"},
		},
		"a duty below keep": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.MaxKeep = "2mo" },
			want:   result{Reason: v1alpha1.ReasonContradiction, Message: "spec.maxKeep: 2mo can be shorter than spec.keep, 90d"},
		},
		"a kind that nobody knows": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.Records = []v1alpha1.RecordKind{"Audit", "Metric"} },
			want:   result{Reason: v1alpha1.ReasonInvalidFilter, Message: `spec.records: "Metric" is no kind`},
		},
		"a kind without a name": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.Records = []v1alpha1.RecordKind{""} },
			want:   result{Reason: v1alpha1.ReasonInvalidFilter, Message: `spec.records: "" is no kind`},
		},
		"a schedule that is none": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.Schedule = "hourly" },
			want:   result{Reason: v1alpha1.ReasonInvalidSchedule, Message: `spec.schedule: "hourly"`},
		},
		"a schedule that never comes": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.Schedule = "0 0 30 2 *" },
			want:   result{Reason: v1alpha1.ReasonInvalidSchedule, Message: "never comes"},
		},
		"a schedule with a time zone": {
			modify: func(s *v1alpha1.RetentionPolicySpec) { s.Schedule = "TZ=UTC" },
			want:   result{Reason: v1alpha1.ReasonInvalidSchedule, Message: "schedules are in UTC"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			obj := newPolicy("x")
			test.modify(&obj.Spec)
			read := convertPolicy(obj)
			if (read.problem != nil) != read.policy.Rule.Invalid {
				t.Fatalf("problem %v, invalid %t", read.problem, read.policy.Rule.Invalid)
			}
			if read.problem != nil {
				if read.problem.reason != test.want.Reason || !strings.Contains(read.problem.message, test.want.Message) {
					t.Errorf("problem %+v, want %s: %s", read.problem, test.want.Reason, test.want.Message)
				}
				if kinds := read.policy.Rule.Kinds; !slices.Equal(kinds, both) {
					t.Errorf("kinds %v are kept, want %v", kinds, both)
				}
				return
			}
			rule := read.policy.Rule
			got := result{
				Kinds: rule.Kinds, OrgIDs: rule.OrgIDs, Keep: rule.Keep.String(), MinKeep: rule.MinKeep.String(), MaxKeep: rule.MaxKeep.String(),
				Mode: rule.Mode, Delay: rule.ChangeDelay,
			}
			if !test.want.Next.IsZero() {
				got.Next = read.schedule.Next(today)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestConvertHold(t *testing.T) {
	from, to := metav1.NewTime(today), metav1.NewTime(today.Add(time.Hour))
	tests := map[string]struct {
		modify     func(*v1alpha1.LegalHold)
		want       retention.Hold
		wantReason string
	}{
		"everything set": {
			modify: func(h *v1alpha1.LegalHold) {
				h.Spec.Records = []v1alpha1.RecordKind{"Audit"}
				h.Spec.UserIDs, h.Spec.TargetIDs, h.Spec.From, h.Spec.To = []string{"b", "a"}, []string{"t"}, &from, &to
			},
			want: retention.Hold{Spec: retention.HoldSpec{
				Kinds: []record.Kind{record.KindAudit}, UserIDs: []string{"a", "b"}, TargetIDs: []string{"t"}, From: today, To: today.Add(time.Hour),
			}},
		},
		"no delay is the default's": {
			modify: func(h *v1alpha1.LegalHold) { h.Spec.ReleaseDelay.Duration = 0 },
			want:   retention.Hold{Spec: retention.HoldSpec{ReleaseDelay: 168 * time.Hour}},
		},
		"being deleted, and kept": {
			modify: func(h *v1alpha1.LegalHold) {
				h.DeletionTimestamp, h.Annotations = &from, map[string]string{v1alpha1.KeepAnnotation: "true"}
			},
			want: retention.Hold{Deleting: true, Keep: true},
		},
		"kept by nothing but true": {
			modify: func(h *v1alpha1.LegalHold) { h.Annotations = map[string]string{v1alpha1.KeepAnnotation: "false"} },
			want:   retention.Hold{},
		},
		"a period that ends before it begins is any time": {
			modify:     func(h *v1alpha1.LegalHold) { h.Spec.From, h.Spec.To = &to, &from },
			want:       retention.Hold{},
			wantReason: v1alpha1.ReasonInvalidTime,
		},
		"targets of what has none are any": {
			modify: func(h *v1alpha1.LegalHold) {
				h.Spec.Records, h.Spec.TargetIDs = []v1alpha1.RecordKind{"AuthAudit"}, []string{"t"}
			},
			want:       retention.Hold{Spec: retention.HoldSpec{Kinds: []record.Kind{record.KindAuthAudit}}},
			wantReason: v1alpha1.ReasonInvalidFilter,
		},
		"a kind that nobody knows is any": {
			modify: func(h *v1alpha1.LegalHold) { h.Spec.Records = []v1alpha1.RecordKind{"Metric"} },
			want:   retention.Hold{},
		},
		"a kind that nobody knows beside one that we know is any": {
			modify: func(h *v1alpha1.LegalHold) { h.Spec.Records = []v1alpha1.RecordKind{"Audit", "Metric"} },
			want:   retention.Hold{},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			obj := newHold("case", "shop")
			obj.UID = "u"
			test.modify(obj)
			read := convertHold(obj)
			want := test.want
			want.Name, want.UID, want.Spec.OrgIDs = "case", "u", []string{"shop"}
			if want.Spec.Kinds == nil {
				want.Spec.Kinds = record.Kinds()
			}
			if want.Spec.ReleaseDelay == 0 {
				want.Spec.ReleaseDelay = time.Hour
			}
			if diff := cmp.Diff(want, read.hold); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			reason := ""
			if read.problem != nil {
				reason = read.problem.reason
			}
			if reason != test.wantReason {
				t.Errorf("problem %+v, want %q", read.problem, test.wantReason)
			}
		})
	}
}
