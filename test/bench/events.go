package main

import (
	"bytes"
	"fmt"
	"time"

	"auditquery.dev/auditquery/internal/record"
)

const (
	// eventList is how many events kube-apiserver's webhook sends at once, at
	// most; under load all its requests have so many.
	eventList = 400
	// recordLines is how many of our own records a request has.
	recordLines = 1000
	// eventSlot lies between two events: a round of millions fits into a month.
	eventSlot = 20 * time.Millisecond
)

// eventGenerator makes audit events as kube-apiserver's webhook sends them under
// the policy of config/ingest (level Metadata, the end of each request), the same
// ones in each run, in the order of their times from the beginning of a month on.
// Each gives one record.
type eventGenerator struct {
	draws *generator
	month time.Time
	made  int
}

// newEventGenerator returns a generator. Streams differ in everything.
func newEventGenerator(month time.Time, stream uint64) *eventGenerator {
	return &eventGenerator{draws: newGenerator(1, stream), month: month}
}

// list returns the next events as the body of one request.
func (g *eventGenerator) list(count int) []byte {
	const bytesPerEvent = 1300
	body := make([]byte, 0, count*bytesPerEvent)
	body = append(body, `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[`...)
	for i := range count {
		if i > 0 {
			body = append(body, ',')
		}
		body = g.event(body)
	}
	return append(body, "]}\n"...)
}

// event appends one event, members in the order in which kube-apiserver writes
// them.
func (g *eventGenerator) event(b []byte) []byte {
	r, op := g.draws.random, operations[g.draws.random.IntN(len(operations))]
	namespace := namespaceName(g.draws.namespaces.Uint64())
	name := fmt.Sprintf("web-%05d-%05x", r.IntN(20_000), r.IntN(1<<20))
	b = fmt.Appendf(b, `{"level":"Metadata","auditID":"%s","stage":"ResponseComplete",`, g.draws.uuid())
	b = append(append(append(b, `"requestURI":"`...), requestURI(op, namespace, name)...), `","verb":"`...)
	b = append(append(b, op.verb...), `","user":`...)
	who := g.user()
	b = append(b, who.json...)
	b = fmt.Appendf(b, `,"sourceIPs":["%s"],"userAgent":"%s",`, who.address, who.agent)
	b = append(b, `"objectRef":{"resource":"`...)
	b = fmt.Appendf(b, `%s","namespace":"%s",`, op.resource, namespace)
	if op.named() {
		b = fmt.Appendf(b, `"name":"%s",`, name)
	}
	if op.group != coreGroup {
		b = fmt.Appendf(b, `"apiGroup":"%s",`, op.group)
	}
	b = append(b, `"apiVersion":"v1"},`...)
	const denied = 403
	if op.code == denied {
		b = fmt.Appendf(b, `"responseStatus":{"metadata":{},"status":"Failure","message":"%s \"%s\" is forbidden: User \"%s\" cannot %s resource \"%s\" in API group \"\" in the namespace \"%s\"","reason":"Forbidden","details":{"name":"%s","kind":"%s"},"code":403},`,
			op.resource, name, who.name, op.verb, op.resource, namespace, name, op.resource)
	} else {
		b = fmt.Appendf(b, `"responseStatus":{"metadata":{},"code":%d},`, op.code)
	}
	received := g.month.Add(time.Duration(g.made)*eventSlot + time.Duration(r.IntN(1000))*time.Microsecond)
	g.made++
	const times = "2006-01-02T15:04:05.000000Z"
	b = received.AppendFormat(append(b, `"requestReceivedTimestamp":"`...), times)
	b = received.Add(time.Duration(500+r.IntN(20_000))*time.Microsecond).AppendFormat(append(b, `","stageTimestamp":"`...), times)
	if op.code == denied {
		return append(b, `","annotations":{"authorization.k8s.io/decision":"forbid","authorization.k8s.io/reason":""}}`...)
	}
	return fmt.Appendf(b, `","annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"RBAC: allowed by %s"}}`, who.allowedBy)
}

const coreGroup = "core"

// named tells whether a request of this kind has the object's name in its path.
func (o operation) named() bool { return o.verb != "list" && o.verb != "watch" && o.verb != "create" }

func requestURI(op operation, namespace, name string) string {
	prefix := "/apis/" + op.group + "/v1"
	if op.group == coreGroup {
		prefix = "/api/v1"
	}
	collection := prefix + "/namespaces/" + namespace + "/" + op.resource
	switch op.verb {
	case "list":
		return collection + "?limit=500&resourceVersion=0"
	case "watch":
		return collection + "?allowWatchBookmarks=true&resourceVersion=1204331&timeout=7m12s&timeoutSeconds=432&watch=true"
	case "create":
		return collection + "?fieldManager=manager"
	default:
		return collection + "/" + name
	}
}

// eventUser is who an event is of.
type eventUser struct {
	name, json, address, agent, allowedBy string
}

// user draws who it was: service accounts do most.
func (g *eventGenerator) user() eventUser {
	r := g.draws.random
	const services = 60 // per cent
	if r.IntN(100) >= services {
		rank := g.draws.humans.Uint64()
		name := humanUser(rank)
		return eventUser{
			name: name,
			json: fmt.Sprintf(`{"username":"%s","groups":["team-%03d","developers","system:authenticated"],`+
				`"extra":{"authentication.kubernetes.io/credential-id":["X509SHA256=%016x%016x%016x%016x"]}}`,
				name, rank%namespaceCount, r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64()),
			address: fmt.Sprintf("203.0.113.%d", rank%250+1), agent: "kubectl/v1.37.2 (darwin/arm64) kubernetes/6f2a17c",
			allowedBy: fmt.Sprintf(`RoleBinding \"developers/team-%03d\" of ClusterRole \"edit\" to Group \"developers\"`, rank%namespaceCount),
		}
	}
	rank := g.draws.services.Uint64()
	namespace, account := namespaceName(rank%namespaceCount), fmt.Sprintf("controller-%d", rank)
	name := "system:serviceaccount:" + namespace + ":" + account
	return eventUser{
		name: name,
		json: fmt.Sprintf(`{"username":"%s","uid":"%s","groups":["system:serviceaccounts","system:serviceaccounts:%s","system:authenticated"],`+
			`"extra":{"authentication.kubernetes.io/credential-id":["JTI=%s"],"authentication.kubernetes.io/node-name":["worker-%03d"],`+
			`"authentication.kubernetes.io/node-uid":["%s"],"authentication.kubernetes.io/pod-name":["%s-%08x-%05x"],`+
			`"authentication.kubernetes.io/pod-uid":["%s"]}}`,
			name, g.draws.uuid(), namespace, g.draws.uuid(), rank%120, g.draws.uuid(), account, r.Uint32(), r.IntN(1<<20), g.draws.uuid()),
		address: fmt.Sprintf("10.244.%d.%d", rank%250, rank/250+1), agent: "manager/v0.25.2 (linux/amd64) kubernetes/6f2a17c/leader-election",
		allowedBy: fmt.Sprintf(`ClusterRoleBinding \"%s\" of ClusterRole \"%s\" to ServiceAccount \"%s/%s\"`, account, account, account, namespace),
	}
}

// lineGenerator makes our own records as a sender writes them, who gives neither
// an id nor what only a receiver knows.
type lineGenerator struct {
	draws *generator
	month time.Time
}

func newLineGenerator(month time.Time, stream uint64) *lineGenerator {
	const many = 1_000_000 // what the generator's own times are spread for
	return &lineGenerator{draws: newGenerator(many, stream), month: month}
}

// lines returns the next records as the body of one request: JSON lines.
func (g *lineGenerator) lines(count int) ([]byte, error) {
	const bytesPerLine = 850
	body := make([]byte, 0, count*bytesPerLine)
	for range count {
		at := g.month.Add(time.Duration(g.draws.made) * eventSlot)
		document, err := record.Encode(g.draws.next())
		if err != nil {
			return nil, err
		}
		// Before the cluster are the id, the times and the source.
		_, rest, ok := bytes.Cut(document, []byte(`,"cluster":`))
		if !ok {
			return nil, fmt.Errorf("a record names no cluster: %.200s", document)
		}
		body = fmt.Appendf(body, `{"kind":"Audit","time":"%s","cluster":`, record.At(at))
		body = append(append(body, rest...), '\n')
	}
	return body, nil
}
