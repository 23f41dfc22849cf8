package record

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// metadataEvents are events as a kube-apiserver sends them at level Metadata: of a
// controller, a node, a human and an operator.
func metadataEvents() []string {
	event := func(uri, verb, user, agent, ref, code, reason string) string {
		return `{"level":"Metadata","auditID":"3f0b1c9e-5a2d-4c58-9f3e-0a6f8d1b7c11","stage":"ResponseComplete","requestURI":"` + uri +
			`","verb":"` + verb + `","user":` + user + `,"sourceIPs":["10.244.3.17"],"userAgent":"` + agent + `","objectRef":{` + ref +
			`},"responseStatus":{"metadata":{},"code":` + code + `},"requestReceivedTimestamp":"2026-11-24T07:11:07.995300Z",` +
			`"stageTimestamp":"2026-11-24T07:11:07.997327Z","annotations":{"authorization.k8s.io/decision":"allow",` +
			`"authorization.k8s.io/reason":"` + reason + `"}}`
	}
	account := func(namespace, name string) string {
		return `{"username":"system:serviceaccount:` + namespace + `:` + name + `","uid":"7c0e1f0e-3f6b-4e2f-8f77-6f1a4f0a2c11",` +
			`"groups":["system:serviceaccounts","system:serviceaccounts:` + namespace + `","system:authenticated"],"extra":{` +
			`"authentication.kubernetes.io/credential-id":["JTI=5b0e2f77-6a5c-4b8e-9c1e-8a7f5d3c2b10"],` +
			`"authentication.kubernetes.io/node-name":["worker-3"],"authentication.kubernetes.io/node-uid":["0f6f1c2b-7a62-4c30-9f0a-2b8f3e0d9c55"],` +
			`"authentication.kubernetes.io/pod-name":["` + name + `-6c9f7d8b5d-x2x8p"],` +
			`"authentication.kubernetes.io/pod-uid":["c8a7f0de-5d33-4f4e-a1de-4c1c9b6a7e21"]}}`
	}
	return []string{
		event("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager?timeout=5s", "update",
			`{"username":"system:kube-controller-manager","groups":["system:authenticated"],"extra":{"authentication.kubernetes.io/credential-id":["X509SHA256=75575a64b6750dc4c0ffdf63d6ecd4c5813e42cebb5243aea937eb3499332aed"]}}`,
			"kube-controller-manager/v1.37.2 (linux/amd64) kubernetes/5f3b3b1/leader-election",
			`"resource":"leases","namespace":"kube-system","name":"kube-controller-manager","uid":"0d9a1f3e-0b7b-4a9c-9a53-2f6d1e0c7b88","apiGroup":"coordination.k8s.io","apiVersion":"v1","resourceVersion":"184467"`,
			"200", `RBAC: allowed by ClusterRoleBinding \"system:kube-controller-manager\" of ClusterRole \"system:kube-controller-manager\" to User \"system:kube-controller-manager\"`),
		event("/api/v1/namespaces/shop/pods/web-6c9f7d8b5d-x2x8p/status", "patch",
			`{"username":"system:node:worker-3","groups":["system:nodes","system:authenticated"],"extra":{"authentication.kubernetes.io/credential-id":["X509SHA256=75575a64b6750dc4c0ffdf63d6ecd4c5813e42cebb5243aea937eb3499332aed"]}}`,
			"kubelet/v1.37.2 (linux/amd64) kubernetes/5f3b3b1",
			`"resource":"pods","namespace":"shop","name":"web-6c9f7d8b5d-x2x8p","apiVersion":"v1","subresource":"status"`, "200", ""),
		event(`/apis/apps/v1/namespaces/shop/deployments?fieldManager=kubectl-create\u0026fieldValidation=Strict`, "create",
			`{"username":"alice@example.com","groups":["developers","system:authenticated"],"extra":{"authentication.kubernetes.io/credential-id":["JTI=5b0e2f77-6a5c-4b8e-9c1e-8a7f5d3c2b10"]}}`,
			"kubectl/v1.37.2 (darwin/arm64) kubernetes/5f3b3b1",
			`"resource":"deployments","namespace":"shop","name":"web","apiGroup":"apps","apiVersion":"v1"`, "201",
			`RBAC: allowed by RoleBinding \"developers/shop\" of Role \"developer\" to Group \"developers\"`),
		event(`/apis/cert-manager.io/v1/certificates?allowWatchBookmarks=true\u0026resourceVersion=184467\u0026timeoutSeconds=512\u0026watch=true`, "watch",
			account("cert-manager", "cert-manager-controller"), "cert-manager-controller/v1.20.0 (linux/amd64) cert-manager/abc",
			`"resource":"certificates","apiGroup":"cert-manager.io","apiVersion":"v1"`, "200",
			`RBAC: allowed by ClusterRoleBinding \"cert-manager-controller-certificates\" of ClusterRole \"cert-manager-controller-certificates\" to ServiceAccount \"cert-manager-controller/cert-manager\"`),
	}
}

// ownLines are records of an application as JSON lines.
func ownLines() []string {
	return []string{
		`{"kind":"Audit","time":"2026-11-02T10:30:00.123456Z","cluster":"shop-application","org_id":"org-acme","user_id":"alice","actor_type":"Human",` +
			`"source_ip":"192.0.2.17","user_agent":"Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0","token_id":"tok-0017","trace_id":"9f8e7d6c5b4a3f2e",` +
			`"session":"ses-0041","action":"update","outcome":"Success","response_code":200,"api_name":"applications","target_resource_type":"application",` +
			`"target_resource_name":"intranet","target_resource_org_id":"org-acme","target_id":"application-017","secondary_id":"rev-3",` +
			`"parent_id":"env-prod","grandparent_id":"org-acme","description":"alice updated the application intranet (200)",` +
			`"audit_attributes":[{"attribute_type":"group","attribute_id":"g-applications","attribute_org_id":"org-acme","attribute_name":"applications owners"}],` +
			`"details":{"region":"eu-west","request":{"bytes":4711}}}`,
		`{"kind":"AuthAudit","time":"2026-11-02T10:30:01Z","cluster":"shop-application","org_id":"org-acme","user_id":"bob","actor_type":"Human",` +
			`"source_ip":"2001:db8::c","user_agent":"shopctl/2.4.1","token_id":"tok-0018","trace_id":"8f8e7d6c5b4a3f2e","session":"ses-0042",` +
			`"org_name":"Acme Ltd","upstream_user_id":"bob@example.com","upstream_idp":"google","login_org_id":"org-acme","login_org_name":"Acme Ltd",` +
			`"event":"Success","event_name":"Login","stage":"Login","result":"Success","request_id":"req-0badcafe","issuer":"https://auth.example.com",` +
			`"client_id":"shop-web","application_name":"Shop","details":{"idp_latency_ms":41,"mfa":true}}`,
	}
}

func repeated(lines []string, count int) []string {
	many := make([]string, 0, count)
	for i := range count {
		many = append(many, lines[i%len(lines)])
	}
	return many
}

// perRecord reports the cost of one of count records.
func perRecord(b *testing.B, count int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/record")
}

// finished does what a receiver does with a record that has its identity.
func finished(p Prepared, r Record) Prepared {
	Normalize(r, ingested)
	return PrepareOver(p, r)
}

// BenchmarkEvents is the way of Kubernetes events, from the body of a webhook's
// request to prepared records, and its parts.
func BenchmarkEvents(b *testing.B) {
	const count = 400
	body := []byte(eventList(repeated(metadataEvents(), count)...))
	options := KubernetesOptions{OwnCluster: "local"}
	b.Logf("%d bytes an event", len(body)/count)
	b.Run("whole", func(b *testing.B) {
		b.ReportAllocs()
		var p Prepared
		for b.Loop() {
			err := DecodeEvents(bytes.NewReader(body), DecodeLimits{}, func(item DecodedEvent) error {
				records, _, err := KubernetesRecords(item.Event, options)
				for _, r := range records {
					p = finished(p, r)
				}
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		perRecord(b, count)
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			if err := DecodeEvents(bytes.NewReader(body), DecodeLimits{}, func(DecodedEvent) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
		perRecord(b, count)
	})
	b.Run("map", func(b *testing.B) {
		event, err := DecodeEvent([]byte(metadataEvents()[3]), DecodeLimits{})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, _, err := KubernetesRecords(event, options); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("normalise and prepare", func(b *testing.B) {
		event, err := DecodeEvent([]byte(metadataEvents()[3]), DecodeLimits{})
		if err != nil {
			b.Fatal(err)
		}
		records, _, err := KubernetesRecords(event, options)
		if err != nil {
			b.Fatal(err)
		}
		var p Prepared
		for b.Loop() {
			p = finished(p, records[0])
		}
	})
}

// BenchmarkOwnRecords is the way of records of our own.
func BenchmarkOwnRecords(b *testing.B) {
	const count = 400
	lines := repeated(ownLines(), count)
	for name, body := range map[string]string{
		"lines": strings.Join(lines, "\n"), "array": "[" + strings.Join(lines, ",") + "]",
	} {
		b.Run(fmt.Sprintf("%s of %d bytes", name, len(body)/count), func(b *testing.B) {
			b.ReportAllocs()
			var p Prepared
			for b.Loop() {
				err := DecodeRecords(strings.NewReader(body), DecodeLimits{}, func(item DecodedRecord) error {
					if item.Err != nil {
						return item.Err
					}
					canonical, err := Canonical(item.Record)
					item.Record.Base().ID = ContentID(item.Record.Kind(), canonical, 0)
					p = finished(p, item.Record)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			perRecord(b, count)
		})
	}
}
