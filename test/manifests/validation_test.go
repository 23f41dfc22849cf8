package manifests_test

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// specCase is a spec and what the API server says about it.
type specCase struct {
	spec string
	// wantMessages are parts of the refusal; none means that it is accepted.
	wantMessages []string
}

func testAuditQueryValidation(t *testing.T, c *cluster) { testValidation(t, c, "AuditQuery") }

func testClusterAuditQueryValidation(t *testing.T, c *cluster) {
	testValidation(t, c, "ClusterAuditQuery")
}

func testValidation(t *testing.T, c *cluster, kind string) {
	for name, tc := range specCases() {
		t.Run(name, func(t *testing.T) { c.wantValidation(t, kind, tc) })
	}
}

// wantValidation checks what the API server says about a spec.
func (c *cluster) wantValidation(t *testing.T, kind string, tc specCase) {
	t.Helper()
	_, err := c.resource(kind).Create(t.Context(), object(t, kind, "validated", tc.spec), metav1.CreateOptions{
		DryRun:          []string{metav1.DryRunAll},
		FieldValidation: metav1.FieldValidationStrict,
	})
	if len(tc.wantMessages) == 0 {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if err == nil {
		t.Fatalf("accepted, want a refusal with %q", tc.wantMessages)
	}
	for _, want := range tc.wantMessages {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("refusal lacks %q:\n%v", want, err)
		}
	}
}

func specCases() map[string]specCase {
	all := map[string]specCase{}
	for group, cases := range map[string]map[string]specCase{
		"kind of record": kindCases(),
		"value":          valueCases(),
		"response code":  responseCodeCases(),
		"other filter":   otherFilterCases(),
		"time":           timeCases(),
		"schedule":       scheduleCases(),
	} {
		for name, tc := range cases {
			all[group+": "+name] = tc
		}
	}
	return all
}

func kindCases() map[string]specCase {
	const exactlyOne = "give exactly one of audits and authAudits"
	return map[string]specCase{
		"audits without a filter":     {spec: "audits: {}"},
		"authAudits without a filter": {spec: "authAudits: {}"},
		"neither":                     {spec: "limit: 5", wantMessages: []string{exactlyOne}},
		"nothing at all":              {spec: "{}", wantMessages: []string{exactlyOne}},
		"both":                        {spec: "{audits: {}, authAudits: {}}", wantMessages: []string{exactlyOne}},
		"a filter of the other kind":  {spec: "authAudits: {action: delete}", wantMessages: []string{`unknown field "spec.authAudits.action"`}},
		"a misspelt filter":           {spec: "audits: {userId: alice}", wantMessages: []string{`unknown field "spec.audits.userId"`}},
		"a filter beside audits":      {spec: "{audits: {}, action: delete}", wantMessages: []string{`unknown field "spec.action"`}},
	}
}

func valueCases() map[string]specCase {
	const field = "spec.audits.action"
	stringOrList := []string{field, `supported values: "a string", "a list of strings"`}
	return map[string]specCase{
		"a string":                 {spec: "audits: {action: delete}"},
		"a list":                   {spec: "audits: {action: [delete, create]}"},
		"a list of one":            {spec: "audits: {action: [delete]}"},
		"a number in quotes":       {spec: `audits: {orgID: "1234"}`},
		"the longest string":       {spec: fmt.Sprintf("audits: {action: %s}", strings.Repeat("a", 8191))},
		"the longest list":         {spec: "audits: {action: " + listOf(100) + "}"},
		"an empty string":          {spec: `audits: {action: ""}`, wantMessages: []string{field, "at least 1 chars long"}},
		"an empty list":            {spec: "audits: {action: []}", wantMessages: []string{field, "at least 1 items"}},
		"an empty string in it":    {spec: `audits: {action: [delete, ""]}`, wantMessages: []string{field + "[1]", "at least 1 chars long"}},
		"a string that's too long": {spec: fmt.Sprintf("audits: {action: %s}", strings.Repeat("a", 8192)), wantMessages: []string{field, "8191"}},
		"a long string in a list":  {spec: fmt.Sprintf("audits: {action: [%s]}", strings.Repeat("a", 8192)), wantMessages: []string{field + "[0]", "8191"}},
		"a list that's too long":   {spec: "audits: {action: " + listOf(101) + "}", wantMessages: []string{field, "must have at most 100 items"}},
		"a number":                 {spec: "audits: {action: 5}", wantMessages: stringOrList},
		"zero":                     {spec: "audits: {action: 0}", wantMessages: stringOrList},
		"a fraction":               {spec: "audits: {action: 0.5}", wantMessages: stringOrList},
		"true":                     {spec: "audits: {action: true}", wantMessages: stringOrList},
		"false":                    {spec: "audits: {action: false}", wantMessages: stringOrList},
		"an object":                {spec: "audits: {action: {equals: delete}}", wantMessages: stringOrList},
		"an empty object":          {spec: "audits: {action: {}}", wantMessages: stringOrList},
		"a number in a list":       {spec: "audits: {action: [delete, 5]}", wantMessages: []string{field + "[1]", "must be of type string"}},
		"null in a list":           {spec: "audits: {action: [null]}", wantMessages: []string{field + "[0]", "must be of type string"}},
		"a list in a list":         {spec: "audits: {action: [[delete]]}", wantMessages: []string{field + "[0]", "must be of type string"}},
		"a number for a login":     {spec: "authAudits: {userID: 5}", wantMessages: []string{"spec.authAudits.userID", `"a list of strings"`}},
	}
}

func listOf(n int) string {
	entries := make([]string, n)
	for i := range entries {
		entries[i] = fmt.Sprintf("v%d", i)
	}
	return "[" + strings.Join(entries, ",") + "]"
}

func responseCodeCases() map[string]specCase {
	const field = "spec.audits.responseCode"
	return map[string]specCase{
		"a number":            {spec: "audits: {responseCode: 403}"},
		"a string":            {spec: `audits: {responseCode: "403"}`},
		"a list of both":      {spec: `audits: {responseCode: [401, "403"]}`},
		"no code is so great": {spec: "audits: {responseCode: 1000}", wantMessages: []string{field, "less than or equal to 999"}},
		"nor in a list":       {spec: "audits: {responseCode: [1000]}", wantMessages: []string{field + "[0]", "less than or equal to 999"}},
		"nor so small":        {spec: "audits: {responseCode: -1}", wantMessages: []string{field, "greater than or equal to 0"}},
		"nor a fraction":      {spec: "audits: {responseCode: 40.5}", wantMessages: []string{field, "multiple of 1"}},
		"nor true":            {spec: "audits: {responseCode: true}", wantMessages: []string{field, `"a whole number", "a string", "a list of these"`}},
		"nor an object":       {spec: "audits: {responseCode: {}}", wantMessages: []string{field, `"a whole number", "a string", "a list of these"`}},
	}
}

func otherFilterCases() map[string]specCase {
	const noWord = "text must hold at least one letter or digit"
	return map[string]specCase{
		"text":                        {spec: "audits: {text: 'deleted web'}"},
		"text of logins":              {spec: "authAudits: {text: alice}"},
		"text in other scripts":       {spec: "audits: {text: 削除}"},
		"empty text":                  {spec: `audits: {text: ""}`, wantMessages: []string{"spec.audits.text", noWord}},
		"text without a word":         {spec: "audits: {text: '-- !'}", wantMessages: []string{"spec.audits.text", noWord}},
		"text that's too long":        {spec: "audits: {text: " + strings.Repeat("a", 1025) + "}", wantMessages: []string{"spec.audits.text", "1024"}},
		"excluded actor types":        {spec: "audits: {excludeActorTypes: [System, Node]}"},
		"the same one twice":          {spec: "audits: {excludeActorTypes: [System, System]}", wantMessages: []string{"spec.audits.excludeActorTypes[1]", "Duplicate"}},
		"no excluded actor types":     {spec: "audits: {excludeActorTypes: []}", wantMessages: []string{"spec.audits.excludeActorTypes", "at least 1 items"}},
		"an empty one":                {spec: `audits: {excludeActorTypes: [""]}`, wantMessages: []string{"spec.audits.excludeActorTypes[0]", "at least 1 chars"}},
		"one that's not a list":       {spec: "audits: {excludeActorTypes: System}", wantMessages: []string{"spec.audits.excludeActorTypes", "must be of type array"}},
		"every parameter of the list": {spec: "audits: {userID: a, action: a, targetID: a, tokenID: a, apiName: a, targetResourceType: a, orgID: a}"},
		"every parameter of logins":   {spec: "authAudits: {userID: a, orgID: a, sessionID: a, traceID: a, upstreamUserID: a, upstreamIDP: a, loginOrgID: a, sourceIP: a, clientID: a, event: a, stage: a}"},
		"attributes":                  {spec: "audits: {attributeType: user, attributeID: [a, b], attributeOrgID: o, attributeName: web}"},
	}
}

func timeCases() map[string]specCase {
	return map[string]specCase{
		"an expression":          {spec: "{audits: {}, from: now-1day, to: now}"},
		"the longest expression": {spec: "{audits: {}, from: " + strings.Repeat("a", 256) + "}"},
		"an empty from":          {spec: `{audits: {}, from: ""}`, wantMessages: []string{"spec.from", "at least 1 chars long"}},
		"an empty to":            {spec: `{audits: {}, to: ""}`, wantMessages: []string{"spec.to", "at least 1 chars long"}},
		"one that's too long":    {spec: "{audits: {}, to: " + strings.Repeat("a", 257) + "}", wantMessages: []string{"spec.to", "256"}},
		"a number":               {spec: "{audits: {}, from: 1700000000}", wantMessages: []string{"spec.from", "must be of type string"}},
	}
}

func scheduleCases() map[string]specCase {
	const (
		interval = "interval must be from 10s to 8760h, such as 30s, 5m or 1h30m"
		notBoth  = "ttlSecondsAfterFinished cannot be used together with interval"
	)
	return map[string]specCase{
		"the smallest limit":          {spec: "{audits: {}, limit: 1}"},
		"the greatest limit":          {spec: "{audits: {}, limit: 500}"},
		"a limit of none":             {spec: "{audits: {}, limit: 0}", wantMessages: []string{"spec.limit", "greater than or equal to 1"}},
		"a limit that's too great":    {spec: "{audits: {}, limit: 501}", wantMessages: []string{"spec.limit", "less than or equal to 500"}},
		"the shortest interval":       {spec: "{audits: {}, interval: 10s}"},
		"the longest interval":        {spec: "{audits: {}, interval: 8760h}"},
		"an interval in parts":        {spec: "{audits: {}, interval: 1h30m5s}"},
		"an interval as Go writes it": {spec: "{audits: {}, interval: 1m0s}"},
		"one that's too short":        {spec: "{audits: {}, interval: 9s}", wantMessages: []string{interval}},
		"one that's too long":         {spec: "{audits: {}, interval: 8760h1s}", wantMessages: []string{interval}},
		"one beyond int64":            {spec: "{audits: {}, interval: 99999h999999m99999999s}", wantMessages: []string{interval}},
		"an interval in days":         {spec: "{audits: {}, interval: 7d}", wantMessages: []string{interval}},
		"a negative interval":         {spec: "{audits: {}, interval: -1h}", wantMessages: []string{interval}},
		"an empty interval":           {spec: `{audits: {}, interval: ""}`, wantMessages: []string{interval}},
		"an interval in words":        {spec: "{audits: {}, interval: daily}", wantMessages: []string{interval}},
		"an interval as a number":     {spec: "{audits: {}, interval: 60}", wantMessages: []string{"spec.interval", "must be of type string"}},
		"a time to live":              {spec: "{audits: {}, ttlSecondsAfterFinished: 0}"},
		"a negative time to live":     {spec: "{audits: {}, ttlSecondsAfterFinished: -1}", wantMessages: []string{"spec.ttlSecondsAfterFinished", "greater than or equal to 0"}},
		"a time to live and interval": {spec: "{audits: {}, interval: 1h, ttlSecondsAfterFinished: 60}", wantMessages: []string{notBoth}},
		"suspended":                   {spec: "{audits: {}, suspend: true}"},
	}
}
