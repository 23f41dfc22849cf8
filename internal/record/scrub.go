package record

import "strings"

// Redacted stands where a secret was. It needs no escaping in a URI or in JSON.
const Redacted = "REDACTED"

// lastApplied is the annotation in which kubectl keeps the whole object that
// was applied last, Secrets included.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// maxScrubRounds is how often text is looked at again because scrubbing it
// brought two harmless pieces together. Text that has not settled by then is
// redacted whole.
const maxScrubRounds = 4

// settle applies scrub until nothing changes, so that scrubbing twice is
// scrubbing once.
func settle(text string, scrub func(string) string) string {
	for range maxScrubRounds {
		next := scrub(text)
		if next == text {
			return text
		}
		text = next
	}
	if scrub(text) == text {
		return text
	}
	return Redacted
}

// secretSuffixes end the names of things that hold a secret. Names are compared
// in lower case without punctuation: access_token, accessToken, X-Access-Token.
var secretSuffixes = [...]string{
	"token", "password", "passwd", "passphrase", "secret", "apikey", "secretkey", "accesskey", "privatekey",
	"authorization", "tlskey", "clientkeydata", "pwd", "signature", "credential", "jwt", "assertion", "cookie",
}

// secretEnds are the last letters of those.
var secretEnds = secretEndsTable()

func secretEndsTable() (table [256]bool) {
	for _, suffix := range secretSuffixes {
		table[suffix[len(suffix)-1]] = true
	}
	return table
}

// isSecretName tells whether a parameter, header or member of this name holds a
// secret. Paging tokens do not open anything.
func isSecretName(name string) bool {
	var room [64]byte
	plain := appendPlainName(room[:0], name)
	switch string(plain) {
	case "", "pagetoken", "nextpagetoken", "continuetoken":
		return false
	case "auth", "sig", "pass", "refresh", "key0":
		return true
	}
	if !secretEnds[plain[len(plain)-1]] { // nearly always
		return false
	}
	for _, suffix := range secretSuffixes {
		if hasSuffix(plain, suffix) {
			return true
		}
	}
	return false
}

// isPasswordName tells whether a name so surely means a secret that even prose
// after it is taken for one.
func isPasswordName(name string) bool {
	var room [64]byte
	plain := appendPlainName(room[:0], name)
	return hasSuffix(plain, "password") || hasSuffix(plain, "passwd") || hasSuffix(plain, "passphrase")
}

func hasSuffix(plain []byte, suffix string) bool {
	return len(plain) >= len(suffix) && string(plain[len(plain)-len(suffix):]) == suffix
}

// appendPlainName appends the letters and digits of a name, in lower case.
func appendPlainName(b []byte, name string) []byte {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'A' && c <= 'Z':
			b = append(b, c-'A'+'a')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b = append(b, c)
		}
	}
	return b
}

// looksSecret tells random-looking text from words: it is long, or mixes digits
// or capitals into lower case.
func looksSecret(value string) bool {
	const long, short = 24, 8
	if len(value) < short || strings.HasPrefix(value, Redacted) {
		return false
	}
	if len(value) >= long {
		return true
	}
	for i, b := range []byte(value) {
		if b >= '0' && b <= '9' || b == '=' || (i > 0 && b >= 'A' && b <= 'Z') {
			return true
		}
	}
	return false
}
