package builders

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"auditquery.dev/auditquery/internal/record"
)

// The sample's size: what an application of middling use writes in two days.
const (
	// SampleAudits and SampleLogins are how many lines of each kind
	// WriteSample writes.
	SampleAudits = 200
	SampleLogins = 100

	sampleSeed = 20261101
	sampleSpan = 46 * time.Hour
)

// WriteSample writes audits and logins of an application as JSON lines, as
// `auditquery import` reads them: SampleAudits and SampleLogins of them, from 46
// hours before now until shortly before now. Between them they fill every field
// of both kinds that a sender fills. The same now gives the same bytes.
func WriteSample(w io.Writer, now time.Time) error {
	out := bufio.NewWriter(w)
	encode := json.NewEncoder(out)
	s := sampler{random: rand.New(rand.NewPCG(sampleSeed, 1)), now: now.UTC().Truncate(time.Second)}
	total := SampleAudits + SampleLogins
	for i := range total {
		at := s.now.Add(-sampleSpan * time.Duration(total-i) / time.Duration(total))
		at = at.Add(-time.Duration(s.random.IntN(120_000_000)) * time.Microsecond)
		var err error
		if i%3 == 2 {
			err = encode.Encode(s.login(at))
		} else {
			err = encode.Encode(s.audit(at))
		}
		if err != nil {
			return fmt.Errorf("write the sample: %w", err)
		}
	}
	return out.Flush()
}

// sampler draws records.
type sampler struct {
	random *rand.Rand
	now    time.Time
}

// sampleLine is a record as a sender writes it: without what we give it.
type sampleLine map[string]any

type person struct {
	id, upstream, ip, agent, org, orgName string
}

func people() []person {
	const (
		browser = "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0"
		phone   = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X)"
		tool    = "shopctl/2.4.1"
	)
	return []person{
		{"alice", "alice@example.com", "192.0.2.17", browser, "org-acme", "Acme Ltd"},
		{"bob", "bob@example.com", "192.0.2.44", phone, "org-acme", "Acme Ltd"},
		{"carol", "carol@example.org", "2001:db8::c", browser, "org-globex", "Globex"},
		{"dave", "dave@example.org", "198.51.100.9", tool, "org-globex", "Globex"},
		{"deploy-bot", "", "198.51.100.200", tool, "org-acme", "Acme Ltd"},
	}
}

type action struct {
	verb, done, api, resource, name, parent, grandparent string
}

func actions() []action {
	return []action{
		{"create", "created", "applications", "application", "intranet", "env-prod", "org-acme"},
		{"update", "updated", "applications", "application", "intranet", "env-prod", "org-acme"},
		{"delete", "deleted", "applications", "application", "old-wiki", "env-test", "org-acme"},
		{"update", "updated", "permissions", "role", "billing-admin", "app-billing", "org-acme"},
		{"create", "created", "tokens", "token", "ci-token", "svc-ci", "org-acme"},
		{"delete", "revoked", "tokens", "token", "ci-token", "svc-ci", "org-acme"},
		{"read", "downloaded", "files", "file", "payroll-2026-10.csv", "share-finance", "org-globex"},
		{"create", "invited", "users", "user", "erin", "group-staff", "org-globex"},
	}
}

func (s sampler) common(p person, at time.Time) sampleLine {
	actor := record.ActorHuman
	if p.upstream == "" {
		actor = record.ActorServiceAccount
	}
	return sampleLine{
		"time":       at.Format("2006-01-02T15:04:05.000000Z"),
		"cluster":    "shop-application",
		"org_id":     p.org,
		"user_id":    p.id,
		"actor_type": actor,
		"source_ip":  p.ip,
		"user_agent": p.agent,
		"token_id":   fmt.Sprintf("tok-%04d", s.random.IntN(50)),
		"trace_id":   fmt.Sprintf("%016x", s.random.Uint64()),
		"session":    fmt.Sprintf("ses-%04d", s.random.IntN(80)),
	}
}

func (s sampler) audit(at time.Time) sampleLine {
	p, a := pick(s.random, people()), pick(s.random, actions())
	outcome, code := record.OutcomeSuccess, 200
	switch s.random.IntN(12) {
	case 0:
		outcome, code = record.OutcomeDenied, 403
	case 1:
		outcome, code = record.OutcomeFailure, 500
	}
	line := s.common(p, at)
	line["kind"] = record.KindAudit
	line["action"], line["outcome"], line["response_code"] = a.verb, outcome, code
	line["api_name"], line["target_resource_type"], line["target_resource_name"] = a.api, a.resource, a.name
	line["target_resource_org_id"] = p.org
	line["target_id"] = fmt.Sprintf("%s-%03d", a.resource, s.random.IntN(40))
	line["secondary_id"] = fmt.Sprintf("rev-%d", 1+s.random.IntN(9))
	line["tertiary_id"] = fmt.Sprintf("change-%05d", s.random.IntN(100_000))
	line["parent_id"], line["grandparent_id"] = a.parent, a.grandparent
	line["description"] = fmt.Sprintf("%s %s the %s %s (%d)", p.id, a.done, a.resource, a.name, code)
	line["audit_attributes"] = []sampleLine{{
		"attribute_type": "group", "attribute_id": "g-" + a.api, "attribute_org_id": p.org, "attribute_name": a.api + " owners",
	}}
	line["details"] = sampleLine{"request": sampleLine{"bytes": 100 + s.random.IntN(9000)}, "region": "eu-west"}
	return line
}

func (s sampler) login(at time.Time) sampleLine {
	p := pick(s.random, people()[:4])
	idp := pick(s.random, []string{"google", "azure", "local"})
	event, result := "Success", record.OutcomeSuccess
	switch s.random.IntN(6) {
	case 0:
		event, result = "Failure", record.OutcomeFailure
	case 1:
		event, result = "Denied", record.OutcomeDenied
	}
	line := s.common(p, at)
	line["kind"] = record.KindAuthAudit
	line["org_name"], line["login_org_id"], line["login_org_name"] = p.orgName, p.org, p.orgName
	line["upstream_user_id"], line["upstream_idp"] = p.upstream, idp
	line["event"], line["stage"] = event, pick(s.random, []string{"Login", "Consent", "Token"})
	line["event_name"], line["result"] = "Login", result
	line["request_id"] = fmt.Sprintf("req-%08x", s.random.Uint32())
	line["issuer"] = "https://auth.example.com"
	line["client_id"], line["application_name"] = "shop-web", "Shop"
	line["details"] = sampleLine{"mfa": s.random.IntN(2) == 0, "idp_latency_ms": s.random.IntN(400)}
	return line
}

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }
