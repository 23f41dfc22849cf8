package senders_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/stage"
)

// attempt is a request of somebody.
type attempt struct {
	// certificate and account are who asks; token is shown in place of the
	// account's.
	certificate, account, token string
	path                        string
	// sent are the names of things and whose they are, "-" for nobody's.
	sent map[string]string
	want int
	// wantStored are the names of those that are stored; the others are not.
	wantStored []string
}

// attempts are all of them.
func attempts(t *testing.T, s *stage.Stage) map[string]attempt {
	t.Helper()
	all := withCertificates(s.Cluster())
	maps.Copy(all, withTokens())
	maps.Copy(all, withNothingGood(foreignToken(t, s)))
	return all
}

// mixed are things of every organisation, and one of none.
func mixed(prefix string) map[string]string {
	return map[string]string{prefix + "-acme": "acme", prefix + "-globex": "globex", prefix + "-initech": "initech", prefix + "-nobody": "-"}
}

func withCertificates(own string) map[string]attempt {
	return map[string]attempt{
		"the certificate of one cluster, events of another": {
			certificate: "west", path: kubernetesPath("east"), sent: map[string]string{"may-1": "shop"}, want: http.StatusForbidden,
		},
		"the certificate of a cluster, its own events": {
			certificate: "east", path: kubernetesPath("east"), sent: map[string]string{"may-2": "shop"}, want: http.StatusOK, wantStored: []string{"may-2"},
		},
		"a certificate that was given other clusters, one of them": {
			certificate: "forwarder", path: kubernetesPath("west"), sent: map[string]string{"may-3": "shop"}, want: http.StatusOK, wantStored: []string{"may-3"},
		},
		"a certificate that was given other clusters, the server's own": {
			certificate: "forwarder", path: kubernetesPath(own), sent: map[string]string{"may-4": "shop"}, want: http.StatusForbidden,
		},
		"a cluster's certificate, records by the original API": {
			certificate: "east", path: bulkPath, sent: mixed("may-5"), want: http.StatusForbidden,
		},
		"a cluster's certificate, records as lines": {
			certificate: "east", path: recordsPath, sent: mixed("may-6"), want: http.StatusForbidden,
		},
		"the certificate of one organisation, by the original API": {
			certificate: "billing", path: bulkPath, sent: mixed("may-7"), want: http.StatusCreated, wantStored: []string{"may-7-acme"},
		},
		"the certificate of one organisation, as lines": {
			certificate: "billing", path: recordsPath, sent: mixed("may-8"), want: http.StatusOK, wantStored: []string{"may-8-acme"},
		},
		"the certificate of every organisation": {
			certificate: "everything", path: recordsPath, sent: mixed("may-9"), want: http.StatusOK,
			wantStored: []string{"may-9-acme", "may-9-globex", "may-9-initech", "may-9-nobody"},
		},
	}
}

func withTokens() map[string]attempt {
	const query = recordsPath + "?cluster=east"
	return map[string]attempt{
		"a token for one namespace, by the original API": {
			account: "writer", path: bulkPath, sent: mixed("may-10"), want: http.StatusCreated, wantStored: []string{"may-10-acme"},
		},
		"a token for one namespace, as lines": {
			account: "writer", path: recordsPath, sent: mixed("may-11"), want: http.StatusOK, wantStored: []string{"may-11-acme"},
		},
		"a token for what nobody claims": {
			account: "keeper", path: recordsPath, sent: mixed("may-12"), want: http.StatusOK, wantStored: []string{"may-12-initech", "may-12-nobody"},
		},
		"a token for records, events of a cluster": {
			account: "writer", path: kubernetesPath("east"), sent: map[string]string{"may-13": "acme"}, want: http.StatusForbidden,
		},
		"a token for one cluster, its events": {
			account: "reporter", path: kubernetesPath("east"), sent: map[string]string{"may-14": "shop"}, want: http.StatusOK, wantStored: []string{"may-14"},
		},
		"a token for one cluster, events of another": {
			account: "reporter", path: kubernetesPath("west"), sent: map[string]string{"may-15": "shop"}, want: http.StatusForbidden,
		},
		"a token for one cluster, records": {
			account: "reporter", path: bulkPath, sent: mixed("may-16"), want: http.StatusCreated,
		},
		"a token that may nothing, events": {
			account: "stranger", path: kubernetesPath("east"), sent: map[string]string{"may-17": "shop"}, want: http.StatusForbidden,
		},
		"a token that may nothing, records": {
			account: "stranger", path: recordsPath, sent: mixed("may-18"), want: http.StatusForbidden,
		},
		"a token that may nothing, beside a certificate that may": {
			certificate: "east", account: "stranger", path: kubernetesPath("east"), sent: map[string]string{"may-19": "shop"}, want: http.StatusForbidden,
		},
		"a token for records, events among them": {
			account: "writer", path: query, sent: map[string]string{"may-20-acme": "acme", "may-20-event": "event"}, want: http.StatusOK,
			wantStored: []string{"may-20-acme"},
		},
		"a token for one cluster, its events among records": {
			account: "reporter", path: query, sent: map[string]string{"may-21-acme": "acme", "may-21-event": "event"}, want: http.StatusOK,
			wantStored: []string{"may-21-event"},
		},
	}
}

func withNothingGood(foreign string) map[string]attempt {
	return map[string]attempt{
		"nothing, events":                     {path: kubernetesPath("east"), sent: map[string]string{"may-22": "shop"}, want: http.StatusUnauthorized},
		"nothing, records":                    {path: recordsPath, sent: mixed("may-23"), want: http.StatusUnauthorized},
		"nothing, by the original API":        {path: bulkPath, sent: mixed("may-24"), want: http.StatusUnauthorized},
		"a token that nobody made":            {token: "not-a-token", path: recordsPath, sent: mixed("may-25"), want: http.StatusUnauthorized},
		"such a token beside a certificate":   {certificate: "everything", token: "not-a-token", path: recordsPath, sent: mixed("may-26"), want: http.StatusUnauthorized},
		"a token for another audience":        {token: foreign, path: recordsPath, sent: mixed("may-27"), want: http.StatusUnauthorized},
		"a certificate that is nobody's name": {certificate: " ", path: kubernetesPath("east"), sent: map[string]string{"may-28": "shop"}, want: http.StatusForbidden},
	}
}

// foreignToken is a token of writer that was made for somebody else than the
// kube-apiserver.
func foreignToken(t *testing.T, s *stage.Stage) string {
	t.Helper()
	stageDoor(t, s, "", "writer") // makes the account
	client, err := kubernetes.NewForConfig(s.ControlPlane().RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	made, err := client.CoreV1().ServiceAccounts(people).CreateToken(t.Context(), "writer",
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"elsewhere"}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made.Status.Token
}

// body writes the things in the form that the attempt's path takes.
func (a attempt) body(t *testing.T) (contentType string, body []byte) {
	t.Helper()
	var values []any
	for name, org := range a.sent {
		x := thing{name: name, org: strings.TrimPrefix(org, "-")}
		switch {
		case strings.HasPrefix(a.path, "/ingest/kubernetes/") || org == "event":
			values = append(values, x.event())
		case a.path == bulkPath:
			values = append(values, x.bulkEvent())
		default:
			values = append(values, x.audit())
		}
	}
	switch {
	case strings.HasPrefix(a.path, "/ingest/kubernetes/"):
		return typeJSON, builders.EventList(values...)
	case a.path == bulkPath:
		return typeJSON, bulk(t, values...)
	default:
		return typeLines, lines(t, values...)
	}
}

// wantAnswer looks at what the sender is told of each thing.
func (a attempt) wantAnswer(t *testing.T, got answer) {
	t.Helper()
	switch {
	case a.path == bulkPath:
		var answer bulkAnswer
		got.into(t, &answer)
		want := map[string]string{}
		for name := range a.sent {
			want["unique-"+name] = "invalid"
		}
		for _, name := range a.wantStored {
			want["unique-"+name] = "success"
		}
		if diff := cmp.Diff(want, answer.statuses(t)); diff != "" {
			t.Errorf("statuses (-want +got):\n%s", diff)
		}
		if len(answer.Retry) > 0 {
			t.Errorf("what is refused need not be sent again: %+v", answer.Retry)
		}
	case strings.HasPrefix(a.path, recordsPath):
		var answer recordsAnswer
		got.into(t, &answer)
		if answer.Received != len(a.sent) || answer.Accepted != len(a.wantStored) || answer.RejectedTotal != len(a.sent)-len(a.wantStored) {
			t.Errorf("of %d records, of which %d may be stored, the answer says %s", len(a.sent), len(a.wantStored), got)
		}
	}
}
