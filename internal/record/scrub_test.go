package record

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A token of no issuer: {"alg":"none"} and {"iss":"nobody"}.
const fakeJWT = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJub2JvZHkifQ.c2lnbmF0dXJl"

func TestScrubURI(t *testing.T) {
	for name, test := range map[string]struct{ uri, want string }{
		"a harmless list stays":                      {"/api/v1/pods?limit=500&labelSelector=app%3Dweb", "/api/v1/pods?limit=500&labelSelector=app%3Dweb"},
		"a paging token stays":                       {"/v1/audits?page_token=abc.def&continue=xyz", "/v1/audits?page_token=abc.def&continue=xyz"},
		"odd but harmless escaping stays":            {"/api?x=%zz&&y;z=+a%20b", "/api?x=%zz&&y;z=+a%20b"},
		"a token in the query":                       {"/healthz?token=s3cr3t&a=b", "/healthz?token=REDACTED&a=b"},
		"an access token after other parameters":     {"/x?a=1&access_token=abc", "/x?a=1&access_token=REDACTED"},
		"an escaped parameter name":                  {"/x?to%6ben=abc", "/x?to%6ben=REDACTED"},
		"a doubly escaped parameter name":            {"/x?to%256ben=abc", "/x?to%256ben=REDACTED"},
		"a name in capitals":                         {"/x?API_KEY=abc", "/x?API_KEY=REDACTED"},
		"a semicolon separates":                      {"/x?a=1;password=abc", "/x?a=1;password=REDACTED"},
		"a fragment":                                 {"/x#id_token=abc", "/x#id_token=REDACTED"},
		"user info":                                  {"https://bob:hunter2@example.org/x", "https://REDACTED@example.org/x"},
		"a user name alone stays":                    {"ssh://git@example.org/x", "ssh://git@example.org/x"},
		"a URL in a parameter":                       {"/x?to=https%3A%2F%2Fbob%3Ahunter2%40example.org", "/x?to=https%3A%2F%2FREDACTED%40example.org"},
		"a token in the query of a URL in parameter": {"/x?to=%2Fy%3Ftoken%3Dabc%26a%3Db", "/x?to=%2Fy%3Ftoken%3DREDACTED%26a%3Db"},
		"a JWT in the path":                          {"/login/" + fakeJWT + "/x", "/login/REDACTED/x"},
		"a JWT in a harmless parameter":              {"/x?q=" + fakeJWT, "/x?q=REDACTED"},
		"a JWT with escaped dots":                    {"/x?q=" + strings.ReplaceAll(fakeJWT, ".", "%2E"), "/x?q=REDACTED"},
		"exec keeps the program alone":               {"/exec?command=mysql&command=-phunter2&command=db&stdin=true", "/exec?command=mysql&command=REDACTED&command=REDACTED&stdin=true"},
		"exec of one word stays":                     {"/exec?command=%2Fbin%2Fsh&tty=true", "/exec?command=%2Fbin%2Fsh&tty=true"},
		"exec of a line as one word":                 {"/exec?command=mysql+-phunter2", "/exec?command=mysql+REDACTED"},
		"exec of an assignment":                      {"/exec?command=PASSWORD%3Dhunter2", "/exec?command=PASSWORD%3DREDACTED"},
		"a bearer header in a parameter":             {"/x?h=Authorization%3A+Bearer+abc", "/x?h=Authorization%3A+Bearer+REDACTED"},
		"an empty secret stays":                      {"/x?token=&a=b", "/x?token=&a=b"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ScrubURI(test.uri)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("ScrubURI(%q) (-want +got):\n%s", test.uri, diff)
			}
			if again := ScrubURI(got); again != got {
				t.Errorf("scrubbed again it is %q", again)
			}
		})
	}
}

func TestScrubTextLeavesHarmlessText(t *testing.T) {
	for _, text := range []string{
		"",
		`pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "shop"`,
		"RBAC: allowed by ClusterRoleBinding \"admin\" of ClusterRole \"admin\" to Group \"system:masters\"",
		"system:serviceaccount:kube-system:token-cleaner",
		"basic authentication is off", "Bearer tokens are short",
		"invalid token: it has expired", "secret: not found",
		"kubectl/v1.37.2 (linux/amd64) kubernetes/4f2a1b9",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
		"authorization: RBAC: clusterrole not found",
		"https://example.org/a?b=c#d", "git@example.org:repo.git", "2026-11-24T07:11:10.290007Z", "größer = größer",
		"X509SHA256=75575a64b6750dc4c0ffdf63d6ecd4c5813e42cebb5243aea937eb3499332aed",
		"kubectl get pods --output wide -n shop",
	} {
		if got := ScrubText(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestScrubText(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"a bearer header":             {"Authorization: Bearer abc", "Authorization: Bearer REDACTED"},
		"a bearer header in capitals": {"AUTHORIZATION: BEARER abc.def", "AUTHORIZATION: BEARER REDACTED"},
		"a basic header":              {"-H 'Authorization: Basic Ym9iOmh1bnRlcjI='", "-H 'Authorization: Basic REDACTED'"},
		"bearer without its header":   {"got bearer f00ba4ba2 twice", "got bearer REDACTED twice"},
		"a JWT in a sentence":         {"token " + fakeJWT + " is bad", "token REDACTED is bad"},
		"a JWT in base64":             {"x ZXlKaGJHY2lPaUpTVXpJMU5pSXNJ y", "x REDACTED y"},
		"a flag with an argument":     {"mysql --password hunter2 db", "mysql --password REDACTED db"},
		"a flag with a value":         {"mysql --password=hunter2 db", "mysql --password=REDACTED db"},
		"an environment variable":     {"DB_PASSWORD=hunter2 run", "DB_PASSWORD=REDACTED run"},
		"a flag that sets a variable": {"run --env=DB_PASSWORD=hunter2", "run --env=DB_PASSWORD=REDACTED"},
		"YAML":                        {"user: bob\npassword: hunter2\n", "user: bob\npassword: REDACTED\n"},
		"a quoted value with a space": {`password="hunter 2" x`, `password="REDACTED" x`},
		"JSON inside a sentence":      {`sent {"token":"abc","a":1}`, `sent {"token":"REDACTED","a":1}`},
		"escaped JSON":                {`"{\"password\":\"hunter2\"}"`, `"{\"password\":\"REDACTED\"}"`},
		"a URL with a password":       {"cloning https://bob:hunter2@example.org/r failed", "cloning https://REDACTED@example.org/r failed"},
		"a key block":                 {"a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb", "a\nREDACTED\nb"},
		"a key block that is cut off": {"-----BEGIN PRIVATE KEY-----\nMIIE", "REDACTED"},
		"a key block in base64":       {"x LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t y", "x REDACTED y"},
		"a vendor's token":            {"use ghp_0123456789abcdefghijABCDEFGHIJ here", "use REDACTED here"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ScrubText(test.text)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("ScrubText(%q) (-want +got):\n%s", test.text, diff)
			}
			if again := ScrubText(got); again != got {
				t.Errorf("scrubbed again it is %q", again)
			}
		})
	}
}

func TestScrubJSON(t *testing.T) {
	for name, test := range map[string]struct {
		data   string
		secret bool
		want   string
	}{
		"a Secret's data, kind last": {
			`{"data":{"a":"YQ=="},"stringData":{"b":"c"},"type":"Opaque","kind":"Secret"}`, false,
			`{"data":{"a":"REDACTED"},"stringData":{"b":"REDACTED"},"type":"Opaque","kind":"Secret"}`},
		"items of a SecretList": {
			`{"kind":"SecretList","items":[{"metadata":{"name":"x"},"data":{"a":"YQ=="}}]}`, false,
			`{"kind":"SecretList","items":[{"metadata":{"name":"x"},"data":{"a":"REDACTED"}}]}`},
		"a merge patch of a Secret": {`{"data":{"a":"YQ=="}}`, true, `{"data":{"a":"REDACTED"}}`},
		"a JSON patch of a Secret": {
			`[{"op":"add","path":"/data/a","value":"YQ=="}]`, true, `[{"op":"add","path":"/data/a","value":"REDACTED"}]`},
		"a Secret that claims to be something else": {
			`{"apiVersion":"v1","kind":"Foo","data":{"a":"YQ=="}}`, true, `{"apiVersion":"v1","kind":"Foo","data":{"a":"REDACTED"}}`},
		"a ConfigMap's data stays": {
			`{"kind":"ConfigMap","data":{"colour":"green","n":"1"}}`, false, `{"kind":"ConfigMap","data":{"colour":"green","n":"1"}}`},
		"a password in a ConfigMap": {
			`{"kind":"ConfigMap","data":{"db.password":"hunter2"}}`, false, `{"kind":"ConfigMap","data":{"db.password":"REDACTED"}}`},
		"a TokenRequest": {
			`{"kind":"TokenRequest","status":{"token":"abc","expirationTimestamp":"x"}}`, false,
			`{"kind":"TokenRequest","status":{"token":"REDACTED","expirationTimestamp":"x"}}`},
		"a TokenReview": {`{"spec":{"token":"abc"}}`, false, `{"spec":{"token":"REDACTED"}}`},
		"the annotation of kubectl apply": {
			`{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"data\":1}"}}}`, false,
			`{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"REDACTED"}}}`},
		"an environment variable": {
			`{"env":[{"name":"DB_PASSWORD","value":"hunter2"},{"name":"COLOUR","value":"green"}]}`, false,
			`{"env":[{"name":"DB_PASSWORD","value":"REDACTED"},{"name":"COLOUR","value":"green"}]}`},
		"flags in arguments": {
			`{"args":["--user","bob","--password","hunter2","--token=abc"]}`, false,
			`{"args":["--user","bob","--password","REDACTED","--token=REDACTED"]}`},
		"a volume that names a Secret stays": {
			`{"volumes":[{"secret":{"secretName":"db"}}],"automountServiceAccountToken":false}`, false,
			`{"volumes":[{"secret":{"secretName":"db"}}],"automountServiceAccountToken":false}`},
		"JSON in a text": {
			`{"text":"{\"password\":\"x\"}"}`, false, `{"text":"{\"password\":\"REDACTED\"}"}`},
		"a list of passwords, one a number": {`{"password":["a",1,null]}`, false, `{"password":["REDACTED","REDACTED",null]}`},
		"numbers keep their digits":         {`{"n":12345678901234567890.10}`, false, `{"n":12345678901234567890.10}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ScrubJSON([]byte(test.data), test.secret)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if again, err := ScrubJSON(got, test.secret); err != nil || string(again) != string(got) {
				t.Errorf("scrubbed again it is %q, %v", again, err)
			}
		})
	}
}

func TestScrubJSONRefusesWhatIsNotOneValue(t *testing.T) {
	for _, data := range []string{"", "{", `{"a":1}x`, `{} {}`, strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)} {
		if got, err := ScrubJSON([]byte(data), false); err == nil {
			t.Errorf("%.20q gave %.20q", data, got)
		}
	}
}

// checkTraces compares the short way with looking for each form of a secret.
func checkTraces(t *testing.T, text string) {
	t.Helper()
	if got, want := ScrubText(text), settle(text, scrubEachForm); got != want {
		t.Errorf("%q became %q, want %q", text, got, want)
	}
}

func TestNoFormOfASecretIsOverlooked(t *testing.T) {
	forms := []string{
		"-----BEGIN PRIVATE KEY-----", "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t", fakeJWT, "ZXlKaGJHY2lPaUpTVXpJMU5pSXNJ",
		"ghp_0123456789abcdefghijABCD", "gho_0123456789abcdefghijABCD", "ghu_0123456789abcdefghijABCD", "ghs_0123456789abcdefghijABCD",
		"ghr_0123456789abcdefghijABCD", "github_pat_0123456789abcdefghijABCD", "glpat-0123456789abcdefghij", "xoxb-0123456789abc",
		"Bearer abc12345", "BASIC abc12345=", "negotiate abc12345", "Digest abc12345", "baS\u0130c abc12345", "nego\u0130iate",
		"https://bob:hunter2@example.org", "password=hunter2", "password: hunter2", "--password hunter2", "harmless words",
	}
	for _, form := range forms {
		for _, around := range []string{"%s", "a %s", "a,%s b", "é %s", "\t%s\n", "(%s)", "-%s", "a=%s", "\xff%s", "x %s %[1]s"} {
			checkTraces(t, fmt.Sprintf(around, form))
		}
	}
}

func FuzzScrub(f *testing.F) {
	for _, seed := range []string{
		"/x?token=abc&command=a&command=b", "Authorization: Bearer " + fakeJWT, "password: 'a' --token b=c",
		`{"kind":"Secret","data":{"a":"b"}}`, "https://a:b@c@d/%25%32%35?x=%3Ftoken%3Dy", "a=b=c:password=\\\"x",
		"-----BEGIN PRIVATE KEY-----", "\xff%ff=%00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkTraces(t, text)
		for name, scrub := range map[string]func(string) string{"text": ScrubText, "URI": ScrubURI} {
			once := scrub(text)
			if twice := scrub(once); twice != once {
				t.Errorf("%s: %q became %q and then %q", name, text, once, twice)
			}
			if strings.Contains(scrub(text+" "+fakeJWT), "eyJpc3MiOiJub2JvZHkifQ") {
				t.Errorf("%s: a JWT after %q is still there", name, text)
			}
		}
		once, err := ScrubJSON([]byte(text), false)
		if err != nil {
			return
		}
		if twice, err := ScrubJSON(once, false); err != nil || string(twice) != string(once) {
			t.Errorf("JSON: %q became %q and then %q, %v", text, once, twice, err)
		}
	})
}

// A scrubber that takes quadratic time does not end here within any patience.
func TestScrubEndsOnRepetitiveText(t *testing.T) {
	const size = 256 << 10
	for _, piece := range []string{"a=", "a:", "token:", `a="`, `\"`, "--a ", "://a:b@", "?a=%3F", "=%3D", "Bearer ", "eyJaaaaaa."} {
		text := strings.Repeat(piece, size/len(piece))
		ScrubText(text)
		ScrubURI(text)
	}
}
