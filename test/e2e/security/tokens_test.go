package security_test

import (
	"net/http"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// TestTokens asks with tokens of other lists, as somebody who may read everything:
// what is refused is the token.
func TestTokens(t *testing.T) {
	s := shared.Stage(t)
	through := account(t, s, clusterReader)
	own := s.Server().Config(through)
	for name, tc := range map[string]struct {
		config *rest.Config
		// list begins a list, page goes on with it by its TOKEN, and others
		// misuse that.
		list, page string
		others     map[string]string
	}{
		"records, in a namespace": {
			config: through, list: in(recordsPath, "shop", "audits") + "?limit=1",
			page: in(recordsPath, "shop", "audits") + "?limit=1&continue=TOKEN",
			others: map[string]string{
				"another namespace":      in(recordsPath, "bank", "audits") + "?limit=1&continue=TOKEN",
				"all namespaces":         in(recordsPath, "", "audits") + "?limit=1&continue=TOKEN",
				"another resource":       in(recordsPath, "shop", "authaudits") + "?limit=1&continue=TOKEN",
				"another field selector": in(recordsPath, "shop", "audits") + "?limit=1&fieldSelector=userID%3Dalice&continue=TOKEN",
				"another label selector": in(recordsPath, "shop", "audits") + "?limit=1&labelSelector=auditquery.dev%2Foutcome%3DSuccess&continue=TOKEN",
			},
		},
		"records, with a selector": {
			config: through, list: in(recordsPath, "shop", "audits") + "?limit=1&fieldSelector=userID%3Dalice",
			page: in(recordsPath, "shop", "audits") + "?limit=1&fieldSelector=userID%3Dalice&continue=TOKEN",
			others: map[string]string{
				"another value": in(recordsPath, "shop", "audits") + "?limit=1&fieldSelector=userID%3Dbob&continue=TOKEN",
				"another field": in(recordsPath, "shop", "audits") + "?limit=1&fieldSelector=orgID%3Dglobex&continue=TOKEN",
			},
		},
		"records, of all namespaces": {
			config: through, list: in(recordsPath, "", "audits") + "?limit=1",
			page:   in(recordsPath, "", "audits") + "?limit=1&continue=TOKEN",
			others: map[string]string{"one namespace": in(recordsPath, "shop", "audits") + "?limit=1&continue=TOKEN"},
		},
		"REST, in a namespace": {
			config: through, list: in(restPath, "shop", "audits") + "?limit=1",
			page: in(restPath, "shop", "audits") + "?limit=1&page_token=TOKEN",
			others: map[string]string{
				"another namespace": in(restPath, "bank", "audits") + "?limit=1&page_token=TOKEN",
				"the whole cluster": in(restPath, "", "audits") + "?limit=1&page_token=TOKEN",
				"another list":      in(restPath, "shop", "auth_audits") + "?limit=1&page_token=TOKEN",
				"another parameter": in(restPath, "shop", "audits") + "?limit=1&user_id=alice&page_token=TOKEN",
				"another window":    in(restPath, "shop", "audits") + "?limit=1&dt_from=now-1day&page_token=TOKEN",
			},
		},
		"REST, of the whole cluster": {
			config: through, list: in(restPath, "", "auth_audits") + "?limit=1",
			page:   in(restPath, "", "auth_audits") + "?limit=1&page_token=TOKEN",
			others: map[string]string{"one namespace": in(restPath, "shop", "auth_audits") + "?limit=1&page_token=TOKEN"},
		},
		"REST, on the server's own address": {
			config: own, list: "/v1/audits?limit=1", page: "/v1/audits?limit=1&page_token=TOKEN",
			others: map[string]string{
				"an organisation":    "/v1/audits?limit=1&org_id=acme&page_token=TOKEN",
				"another parameter":  "/v1/audits?limit=1&action=delete&page_token=TOKEN",
				"another list":       "/v1/auth_audits?limit=1&page_token=TOKEN",
				"repeated parameter": "/v1/audits?limit=1&page_token=TOKEN&page_token=TOKEN",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			first := get(t, tc.config, tc.list)
			token := first.token(t)
			if first.wantCode(t, http.StatusOK); token == "" {
				t.Fatalf("the list has one page: %s", first.body)
			}
			next := get(t, tc.config, strings.Replace(tc.page, "TOKEN", token, 1))
			if next.wantCode(t, http.StatusOK); next.body == first.body || len(next.orgs(t)) != 1 {
				t.Errorf("the second page: %s", next.body)
			}
			for other, path := range tc.others {
				t.Run(other, func(t *testing.T) {
					get(t, tc.config, strings.Replace(path, "TOKEN", token, 1)).wantCode(t, http.StatusBadRequest)
				})
			}
			for i := 0; i < len(token); i += 1 + len(token)/20 {
				get(t, tc.config, strings.Replace(tc.page, "TOKEN", tampered(token, i), 1)).wantCode(t, http.StatusBadRequest)
			}
			for _, bad := range []string{"x", token[:len(token)-4], token + "AAAA", "%00", strings.Repeat("A", 6000)} {
				get(t, tc.config, strings.Replace(tc.page, "TOKEN", bad, 1)).wantCode(t, http.StatusBadRequest)
			}
		})
	}
}

// tampered changes one letter. The last of a base64 text may hold bits that mean
// nothing, so the one before it is taken instead.
func tampered(token string, at int) string {
	letters := []byte(token)
	at = min(at, len(letters)-2)
	if letters[at]++; letters[at] > 'z' {
		letters[at] = 'A'
	}
	return string(letters)
}
