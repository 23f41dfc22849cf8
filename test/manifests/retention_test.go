package manifests_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"auditquery.dev/auditquery/api/v1alpha1"
)

// numbered is a list of n different ids.
func numbered(n int) string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("id-%d", i)
	}
	return "[" + strings.Join(ids, ", ") + "]"
}

func testRetentionPolicyValidation(t *testing.T, c *cluster) {
	const delay = "changeDelay must be from 1s to 8760h"
	for name, tc := range map[string]specCase{
		"every field":                     {spec: `{records: [AuthAudit], orgIDs: [acme, west/shop, "Größe & Söhne"], keep: 7y, minKeep: 84mo, maxKeep: 99999d, mode: Enforce, schedule: "*/5 0-6 * * 1", changeDelay: 48h, profile: sox, locked: true}`},
		"keep alone":                      {spec: "{keep: 400d}"},
		"the shortest age":                {spec: "{keep: 1d}"},
		"the longest age":                 {spec: "{keep: 99999y}"},
		"nothing":                         {spec: "{}", wantMessages: []string{"spec.keep", "Required"}},
		"an age of nothing":               {spec: "{keep: 0d}", wantMessages: []string{"spec.keep"}},
		"an age without a unit":           {spec: `{keep: "400"}`, wantMessages: []string{"spec.keep"}},
		"an age that's a number":          {spec: "{keep: 400}", wantMessages: []string{"spec.keep", "string"}},
		"minutes, or months?":             {spec: "{keep: 13m}", wantMessages: []string{"spec.keep"}},
		"an age in capitals":              {spec: "{keep: 7Y}", wantMessages: []string{"spec.keep"}},
		"an age with a zero before it":    {spec: "{keep: 07y}", wantMessages: []string{"spec.keep"}},
		"an age of two parts":             {spec: "{keep: 1y6mo}", wantMessages: []string{"spec.keep"}},
		"an age with a line break":        {spec: `{keep: "7y\n"}`, wantMessages: []string{"spec.keep"}},
		"an age that's too long":          {spec: "{keep: 100000d}", wantMessages: []string{"spec.keep"}},
		"an empty minKeep":                {spec: `{keep: 7y, minKeep: ""}`, wantMessages: []string{"spec.minKeep"}},
		"a maxKeep that's no age":         {spec: "{keep: 7y, maxKeep: never}", wantMessages: []string{"spec.maxKeep"}},
		"as many organisations as may be": {spec: "{keep: 7y, orgIDs: " + numbered(v1alpha1.MaxRetentionOrgIDs) + "}"},
		"too many organisations":          {spec: "{keep: 7y, orgIDs: " + numbered(v1alpha1.MaxRetentionOrgIDs+1) + "}", wantMessages: []string{"spec.orgIDs", "500"}},
		"organisations that were lost":    {spec: "{keep: 7y, orgIDs: []}", wantMessages: []string{"spec.orgIDs"}},
		"null is as good as absent":       {spec: "{keep: 7y, orgIDs: null}"},
		"an organisation twice":           {spec: "{keep: 7y, orgIDs: [a, b, a]}", wantMessages: []string{"spec.orgIDs[2]", "Duplicate"}},
		"an empty organisation":           {spec: `{keep: 7y, orgIDs: [""]}`, wantMessages: []string{"spec.orgIDs[0]"}},
		"an organisation with a space":    {spec: `{keep: 7y, orgIDs: [" a"]}`, wantMessages: []string{"spec.orgIDs[0]"}},
		"no kind of records":              {spec: "{keep: 7y, records: []}", wantMessages: []string{"spec.records"}},
		"another kind of records":         {spec: "{keep: 7y, records: [audits]}", wantMessages: []string{"spec.records[0]", `"Audit", "AuthAudit"`}},
		"another mode":                    {spec: "{keep: 7y, mode: enforce}", wantMessages: []string{"spec.mode", `"Enforce", "DryRun"`}},
		"another profile":                 {spec: "{keep: 7y, profile: gdpr}", wantMessages: []string{"spec.profile", `"pci-dss", "hipaa", "sox"`}},
		"an empty schedule":               {spec: `{keep: 7y, schedule: ""}`, wantMessages: []string{"spec.schedule"}},
		"a schedule that's too long":      {spec: "{keep: 7y, schedule: " + strings.Repeat("1", 129) + "d}", wantMessages: []string{"spec.schedule", "128"}},
		"no delay":                        {spec: "{keep: 7y, changeDelay: 0s}", wantMessages: []string{delay}},
		"the shortest delay":              {spec: "{keep: 7y, changeDelay: 1s}"},
		"the longest delay":               {spec: "{keep: 7y, changeDelay: 8760h}"},
		"a delay that's too long":         {spec: "{keep: 7y, changeDelay: 8760h1s}", wantMessages: []string{delay}},
		"a delay in days":                 {spec: "{keep: 7y, changeDelay: 1d}", wantMessages: []string{delay}},
		"a delay back in time":            {spec: "{keep: 7y, changeDelay: -1h}", wantMessages: []string{delay}},
		"a field that there is not":       {spec: "{keep: 7y, min: 1y}", wantMessages: []string{"min"}},
		// The controller says so in a condition.
		"a contradiction": {spec: "{keep: 1y, minKeep: 2y}"},
		"no schedule":     {spec: "{keep: 1y, schedule: sometimes}"},
	} {
		t.Run(name, func(t *testing.T) { c.wantValidation(t, "RetentionPolicy", tc) })
	}
}

func testLegalHoldValidation(t *testing.T, c *cluster) {
	const (
		order   = "from must be before to"
		targets = "targetIDs need Audit among records"
		delay   = "releaseDelay must be from 1s to 8760h"
	)
	for name, tc := range map[string]specCase{
		"every field":                  {spec: `{reason: r, caseID: c, records: [Audit], orgIDs: [a], userIDs: [b], targetIDs: [c], from: "2026-01-01T00:00:00Z", to: "2026-01-01T00:00:00.000001Z", releaseDelay: 1h}`},
		"a reason alone":               {spec: "{reason: stop everything}"},
		"no reason":                    {spec: "{caseID: c}", wantMessages: []string{"spec.reason", "Required"}},
		"an empty reason":              {spec: `{reason: ""}`, wantMessages: []string{"spec.reason"}},
		"the longest reason":           {spec: "{reason: " + strings.Repeat("ü", 1024) + "}"},
		"a reason that's too long":     {spec: "{reason: " + strings.Repeat("r", 1025) + "}", wantMessages: []string{"spec.reason", "1024"}},
		"an empty case":                {spec: `{reason: r, caseID: ""}`, wantMessages: []string{"spec.caseID"}},
		"as many ids as may be":        {spec: "{reason: r, orgIDs: " + numbered(v1alpha1.MaxHoldIDs) + ", userIDs: " + numbered(v1alpha1.MaxHoldIDs) + ", targetIDs: " + numbered(v1alpha1.MaxHoldIDs) + "}"},
		"too many organisations":       {spec: "{reason: r, orgIDs: " + numbered(v1alpha1.MaxHoldIDs+1) + "}", wantMessages: []string{"spec.orgIDs", "500"}},
		"too many users":               {spec: "{reason: r, userIDs: " + numbered(v1alpha1.MaxHoldIDs+1) + "}", wantMessages: []string{"spec.userIDs", "500"}},
		"too many targets":             {spec: "{reason: r, targetIDs: " + numbered(v1alpha1.MaxHoldIDs+1) + "}", wantMessages: []string{"spec.targetIDs", "500"}},
		"users that were lost":         {spec: "{reason: r, userIDs: []}", wantMessages: []string{"spec.userIDs"}},
		"an empty target":              {spec: `{reason: r, targetIDs: [""]}`, wantMessages: []string{"spec.targetIDs[0]"}},
		"a user twice":                 {spec: "{reason: r, userIDs: [a, a]}", wantMessages: []string{"spec.userIDs[1]", "Duplicate"}},
		"targets of logins":            {spec: "{reason: r, records: [AuthAudit], targetIDs: [a]}", wantMessages: []string{targets}},
		"targets of both":              {spec: "{reason: r, records: [AuthAudit, Audit], targetIDs: [a]}"},
		"a start":                      {spec: `{reason: r, from: "2026-01-01T00:00:00+14:00"}`},
		"an end":                       {spec: `{reason: r, to: "2026-01-01T00:00:00.123456789-05:30"}`},
		"an end before the start":      {spec: `{reason: r, from: "2026-01-01T00:00:00Z", to: "2025-01-01T00:00:00Z"}`, wantMessages: []string{order}},
		"an end at the start":          {spec: `{reason: r, from: "2026-01-01T00:00:00Z", to: "2026-01-01T01:00:00+01:00"}`, wantMessages: []string{order}},
		"a date":                       {spec: `{reason: r, from: "2026-01-01"}`, wantMessages: []string{"spec.from"}},
		"a time without a zone":        {spec: `{reason: r, from: "2026-01-01T00:00:00"}`, wantMessages: []string{"spec.from"}},
		"a time in small letters":      {spec: `{reason: r, from: "2026-01-01t00:00:00z"}`, wantMessages: []string{"spec.from"}},
		"a 30th of February":           {spec: `{reason: r, to: "2026-02-30T00:00:00Z"}`, wantMessages: []string{"spec.to"}},
		"a leap second":                {spec: `{reason: r, to: "2016-12-31T23:59:60Z"}`, wantMessages: []string{"spec.to"}},
		"an expression":                {spec: `{reason: r, from: now-1day}`, wantMessages: []string{"spec.from"}},
		"no delay":                     {spec: "{reason: r, releaseDelay: 0s}", wantMessages: []string{delay}},
		"a delay in days":              {spec: "{reason: r, releaseDelay: 7d}", wantMessages: []string{delay}},
		"the longest delay":            {spec: "{reason: r, releaseDelay: 8760h}"},
		"a delay that's too long":      {spec: "{reason: r, releaseDelay: 8761h}", wantMessages: []string{delay}},
		"a field that there is not":    {spec: "{reason: r, users: [a]}", wantMessages: []string{"users"}},
		"another kind of records":      {spec: "{reason: r, records: [Event]}", wantMessages: []string{"spec.records[0]"}},
		"the same kind of records two": {spec: "{reason: r, records: [Audit, Audit]}", wantMessages: []string{"spec.records[1]", "Duplicate"}},
	} {
		t.Run(name, func(t *testing.T) { c.wantValidation(t, "LegalHold", tc) })
	}
}

// testTimesAndDelays reads odd values, which were let in, as the controller does: one
// object that it can't read would hide all others of its kind.
func testTimesAndDelays(t *testing.T, c *cluster) {
	created := c.create(t, object(t, "LegalHold", "odd",
		`{reason: r, from: "0001-01-01T00:00:00-14:00", to: "9999-12-31T23:59:59.999999999+14:00", releaseDelay: 8759h59m60s}`))
	var typed v1alpha1.LegalHold
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(created.Object, &typed); err != nil {
		t.Fatal(err)
	}
	if got, want := typed.Spec.ReleaseDelay.Duration, 8760*time.Hour; got != want {
		t.Errorf("releaseDelay is %s, want %s", got, want)
	}
	if got, want := typed.Spec.To.Nanosecond(), 999_999_999; got != want {
		t.Errorf("to has %d nanoseconds, want %d", got, want)
	}
}

func testRetentionDefaults(t *testing.T, c *cluster) {
	both := []any{"Audit", "AuthAudit"}
	status := map[string]any{"observedGeneration": int64(-1)}
	for kind, tc := range map[string]struct {
		spec string
		// typed is what a program sends that leaves everything out.
		typed any
		want  map[string]any
	}{
		"RetentionPolicy": {
			spec:  "{keep: 400d}",
			typed: &v1alpha1.RetentionPolicy{Spec: v1alpha1.RetentionPolicySpec{Keep: "400d"}},
			want:  map[string]any{"keep": "400d", "records": both, "mode": "DryRun", "schedule": "0 * * * *", "changeDelay": "24h"},
		},
		"LegalHold": {
			spec:  "{reason: r}",
			typed: &v1alpha1.LegalHold{Spec: v1alpha1.LegalHoldSpec{Reason: "r"}},
			want:  map[string]any{"reason": "r", "records": both, "releaseDelay": "168h"},
		},
	} {
		t.Run(kind, func(t *testing.T) {
			encoded, err := runtime.DefaultUnstructuredConverter.ToUnstructured(tc.typed)
			if err != nil {
				t.Fatal(err)
			}
			program := &unstructured.Unstructured{Object: encoded}
			program.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
			program.SetName("typed")
			for _, obj := range []*unstructured.Unstructured{object(t, kind, "defaulted", tc.spec), program} {
				got := c.create(t, obj)
				if diff := cmp.Diff(tc.want, got.Object["spec"]); diff != "" {
					t.Errorf("spec of %s (-want +got):\n%s", obj.GetName(), diff)
				}
				if diff := cmp.Diff(any(status), got.Object["status"]); diff != "" && obj != program {
					t.Errorf("status (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func testRetentionColumns(t *testing.T, c *cluster) {
	ready := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonInForce,
		Message: "in force", LastTransitionTime: metav1.Now(),
	}
	instant := func(text string) *metav1.Time {
		parsed, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return ptr.To(metav1.NewTime(parsed))
	}
	c.create(t, object(t, "RetentionPolicy", "org-globex-7y", "{keep: 99999d, mode: Enforce}"))
	c.writeStatus(t, "RetentionPolicy", "org-globex-7y", &v1alpha1.RetentionPolicyStatus{
		ObservedGeneration: 1, Conditions: []metav1.Condition{ready},
		Plan:           &v1alpha1.RetentionPlan{At: metav1.Now(), Records: 1234567},
		ExpiredThrough: instant("2025-10-24T16:00:00Z"), NextRunTime: instant("2026-11-24T17:00:00Z"),
	})
	narrow := c.kubectl(t, "get", "rp", "org-globex-7y")
	wantFields(t, narrow, []string{"NAME", "MODE", "KEEP", "READY", "DUE", "EXPIRED-THROUGH", "AGE"},
		[]string{"org-globex-7y", "Enforce", "99999d", "True", "1234567", "2025-10-24T16:00:00Z"})
	wantNarrow(t, narrow)
	wide := c.kubectl(t, "get", "rp", "org-globex-7y", "-o", "wide")
	wantFields(t, wide, []string{"NEXT-RUN", "LOCKED", "MESSAGE"}, []string{"2026-11-24T17:00:00Z", "force"})

	active := ready
	active.Type, active.Reason = v1alpha1.ConditionActive, v1alpha1.ReasonHoldActive
	c.create(t, object(t, "LegalHold", "transfers-of-early-2026", `{reason: because, caseID: "2026-4711/b"}`))
	c.writeStatus(t, "LegalHold", "transfers-of-early-2026", &v1alpha1.LegalHoldStatus{
		ObservedGeneration: 1, Conditions: []metav1.Condition{active}, Phase: v1alpha1.HoldReleasing,
		ReleaseTime: instant("2026-12-01T15:30:00Z"), Records: v1alpha1.NewMatchCount(8120, true),
	})
	narrow = c.kubectl(t, "get", "lh", "transfers-of-early-2026")
	wantFields(t, narrow, []string{"NAME", "PHASE", "CASE", "RECORDS", "ACTIVE", "AGE"},
		[]string{"transfers-of-early-2026", "Releasing", "2026-4711/b", "8120", "True"})
	wantNarrow(t, narrow)
	wide = c.kubectl(t, "get", "lh", "transfers-of-early-2026", "-o", "wide")
	wantFields(t, wide, []string{"RELEASE", "REASON", "MESSAGE"}, []string{"2026-12-01T15:30:00Z", "because"})
}

// testFullPlan writes a status with as much in it as there may be.
func testFullPlan(t *testing.T, c *cluster) {
	const name = "full"
	c.create(t, object(t, "RetentionPolicy", name, "{keep: 1d}"))
	at := metav1.NewTime(time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC))
	before := metav1.NewMicroTime(at.Time)
	status := v1alpha1.RetentionPolicyStatus{
		Effective: &v1alpha1.RetentionEffective{Keep: "1d", Mode: v1alpha1.RetentionDryRun, Since: &at, ProtectedUntil: &at},
		Plan:      &v1alpha1.RetentionPlan{At: at, Records: 1, Bytes: 1, HeldRecords: 1, Oldest: &before, Truncated: true},
		LastRun:   &v1alpha1.RetentionRun{StartTime: at, CompletionTime: &at, Records: 1, Bytes: 1},
	}
	for range v1alpha1.MaxRetentionPlanEntries {
		status.Plan.Entries = append(status.Plan.Entries, v1alpha1.RetentionPlanEntry{
			Record: v1alpha1.RecordAudit, OrgID: strings.Repeat("ü", 512), Records: 1, Oldest: &before, Before: before, Due: &at,
		})
	}
	for range v1alpha1.MaxRetentionPlanHolds {
		status.Plan.Holds = append(status.Plan.Holds, v1alpha1.RetentionPlanHold{Name: strings.Repeat("h", 253), Records: 1})
	}
	for range v1alpha1.MaxRetentionRunErrors {
		status.LastRun.Errors = append(status.LastRun.Errors, strings.Repeat("e", 1024))
	}
	c.writeStatus(t, "RetentionPolicy", name, &status)
	got, err := c.resource("RetentionPolicy").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var typed v1alpha1.RetentionPolicy
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(got.Object, &typed); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(status, typed.Status); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
