package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"auditquery.dev/auditquery/internal/record"
)

const (
	seed           = 20261101
	serviceUsers   = 2_000
	humanUsers     = 8_000
	namespaceCount = 200
	// breakGlass is the user of whom there are three records among all.
	breakGlass = "break-glass@example.com"
	// rareRecords is how many that are.
	rareRecords = 3
)

// monthStart begins the month that all records fall into, so that Elasticsearch
// keeps them in one index of one shard.
func monthStart() time.Time { return time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC) }

func monthEnd() time.Time { return monthStart().AddDate(0, 1, 0) }

// generator makes audit records as an API server's events become them, in the
// order of their times: the same ones in each run.
type generator struct {
	random     *rand.Rand
	services   *rand.Zipf
	humans     *rand.Zipf
	namespaces *rand.Zipf
	made       int
	all        int
}

// newGenerator returns a generator of all records. Streams differ in everything.
func newGenerator(all int, stream uint64) *generator {
	random := rand.New(rand.NewPCG(seed, stream))
	const skew = 1.1 // some users do most of what is done
	return &generator{
		random:     random,
		services:   rand.NewZipf(random, skew, 4, serviceUsers-1),
		humans:     rand.NewZipf(random, skew, 8, humanUsers-1),
		namespaces: rand.NewZipf(random, skew, 4, namespaceCount-1),
		all:        all,
	}
}

// batch returns the next records, at most count; none at the end.
func (g *generator) batch(count int) []record.Record {
	count = min(count, g.all-g.made)
	records := make([]record.Record, 0, count)
	for range count {
		records = append(records, g.next())
	}
	return records
}

type operation struct {
	verb, deed, group, resource string
	code                        int64
}

var operations = [...]operation{
	{"get", "read", "core", "configmaps", 200},
	{"list", "listed", "core", "pods", 200},
	{"watch", "watched", "apps", "deployments", 200},
	{"update", "updated", "apps", "deployments", 200},
	{"patch", "patched", "core", "serviceaccounts", 200},
	{"create", "created", "batch", "jobs", 201},
	{"delete", "deleted", "core", "pods", 200},
	{"get", "read", "core", "secrets", 403},
}

func humanUser(rank uint64) string { return fmt.Sprintf("user-%04d@example.com", rank) }

func namespaceName(rank uint64) string { return fmt.Sprintf("team-%03d", rank) }

func (g *generator) next() record.Record {
	r, i := g.random, g.made
	g.made++
	a := &record.Audit{}
	for k := 0; k < len(a.ID); k += 4 {
		n := r.Uint32()
		a.ID[k], a.ID[k+1], a.ID[k+2], a.ID[k+3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	}
	slot := monthEnd().Sub(monthStart()) / time.Duration(g.all)
	at := monthStart().Add(time.Duration(i)*slot + time.Duration(r.Int64N(int64(slot))))
	a.Time = record.At(at)
	a.SourceType, a.Cluster = record.SourceKubernetes, "prod-eu-1"
	namespace := namespaceName(g.namespaces.Uint64())
	a.OrgID, a.TargetResourceOrgID = namespace, namespace
	g.actor(a)
	op := operations[r.IntN(len(operations))]
	a.Action, a.APIName, a.TargetResourceType, a.ResponseCode = op.verb, op.group, op.resource, op.code
	a.Outcome = record.OutcomeSuccess
	if op.code == 403 {
		a.Outcome = record.OutcomeDenied
	}
	a.TargetResourceName = fmt.Sprintf("web-%05d-%05x", r.IntN(20_000), r.IntN(1<<20))
	a.TargetID = a.TargetResourceName
	a.TraceID = g.uuid()
	if i%(g.all/rareRecords) == g.all/(2*rareRecords) {
		a.UserID, a.ActorType = breakGlass, "Human"
	}
	a.Description = fmt.Sprintf("%s %s %s.%s %q in %s (%d)", a.UserID, op.deed, op.resource, op.group, a.TargetResourceName, namespace, op.code)
	a.Details = json.RawMessage(fmt.Sprintf(`{"level":"Metadata","stage":"ResponseComplete",`+
		`"requestURI":"/apis/%s/v1/namespaces/%s/%s/%s"}`, op.group, namespace, op.resource, a.TargetResourceName))
	record.Normalize(a, at.Add(1200*time.Millisecond))
	return a
}

// actor draws who it was: service accounts do most.
func (g *generator) actor(a *record.Audit) {
	const services = 60 // per cent
	if g.random.IntN(100) < services {
		rank := g.services.Uint64()
		a.ActorType = "ServiceAccount"
		a.UserID = fmt.Sprintf("system:serviceaccount:%s:controller-%d", namespaceName(rank%namespaceCount), rank)
		a.UserAgent = "manager/v0.25.2 (linux/amd64)"
		a.SourceIP = fmt.Sprintf("10.244.%d.%d", rank%250, rank/250+1)
		a.TokenID = g.uuid()
		return
	}
	rank := g.humans.Uint64()
	a.ActorType = "Human"
	a.UserID = humanUser(rank)
	a.UserAgent = "kubectl/v1.37.2 (darwin/arm64)"
	a.SourceIP = fmt.Sprintf("203.0.113.%d", rank%250+1)
}

func (g *generator) uuid() string {
	r := g.random
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Int64N(1<<48))
}

// meanBytes is how long the JSON of a record is.
func meanBytes() (int, error) {
	const sample = 1000
	sum := 0
	for _, r := range newGenerator(sample, 0).batch(sample) {
		document, err := record.Encode(r)
		if err != nil {
			return 0, err
		}
		sum += len(document)
	}
	return sum / sample, nil
}
