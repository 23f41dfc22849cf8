package record

import (
	"slices"
	"strings"
)

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
func secretSuffixes() []string {
	return []string{
		"token", "password", "passwd", "passphrase", "secret", "apikey", "secretkey", "accesskey", "privatekey",
		"authorization", "tlskey", "clientkeydata", "pwd", "signature", "credential", "jwt", "assertion", "cookie",
	}
}

// isSecretName tells whether a parameter, header or member of this name holds a
// secret. Paging tokens do not open anything.
func isSecretName(name string) bool {
	plain := plainName(name)
	switch plain {
	case "pagetoken", "nextpagetoken", "continuetoken":
		return false
	case "auth", "sig", "pass", "refresh", "key0":
		return true
	}
	return slices.ContainsFunc(secretSuffixes(), func(suffix string) bool { return strings.HasSuffix(plain, suffix) })
}

// isPasswordName tells whether a name so surely means a secret that even prose
// after it is taken for one.
func isPasswordName(name string) bool {
	plain := plainName(name)
	for _, suffix := range []string{"password", "passwd", "passphrase"} {
		if strings.HasSuffix(plain, suffix) {
			return true
		}
	}
	return false
}

func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		default:
			return -1
		}
	}, name)
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
