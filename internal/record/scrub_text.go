package record

import (
	"regexp"
	"strings"
)

// The forms of secrets in text. RE2 takes linear time, whatever a sender sends.
var (
	privateKeyPattern = regexp.MustCompile(
		`(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]*-----|$)`)
	encodedKeyPattern = regexp.MustCompile(
		`LS0tLS1CRUdJTi(?:BSU0Eg|BQUklWQVRF|BFQyBQ|BPUEVOU1NI|BFTkNSWVBU)[A-Za-z0-9+/=_-]*`)
	jwtPattern        = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){0,3}`)
	encodedJWTPattern = regexp.MustCompile(`ZXlK[A-Za-z0-9+/=_-]{20,}`)
	vendorPattern     = regexp.MustCompile(
		`\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeprs]-[A-Za-z0-9-]{10,})`)
	headerPattern = regexp.MustCompile(
		`(?i)\b(authorization["']?\s*[:=]\s*["']?)?(bearer|basic|negotiate|digest)(\s+|%20|\+)([A-Za-z0-9._~+/=%-]+)`)
	userInfoPattern = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)([^\s/?#"'<>]+)@`)
	flagPattern     = regexp.MustCompile(`(^|\s)(--?[A-Za-z][A-Za-z0-9_-]*)(\s+)([^\s-][^\s]*)`)
)

// ScrubText replaces what looks like a secret in prose, command lines, headers,
// URLs or JSON by Redacted. Harmless text comes back unchanged, and so does
// scrubbed text.
func ScrubText(text string) string {
	return settle(text, scrubTextOnce)
}

func scrubTextOnce(text string) string {
	switch tracesIn(text) {
	case noTraces:
		return text
	case pairsAlone:
		return scrubPairs(text)
	default:
		return scrubEachForm(text)
	}
}

// scrubEachForm looks for each form of a secret.
func scrubEachForm(text string) string {
	if strings.Contains(text, "PRIVATE KEY") {
		text = privateKeyPattern.ReplaceAllString(text, Redacted)
	}
	if strings.Contains(text, "LS0tLS1CRUdJTi") {
		text = encodedKeyPattern.ReplaceAllString(text, Redacted)
	}
	if strings.Contains(text, "eyJ") {
		text = jwtPattern.ReplaceAllString(text, Redacted)
	}
	if strings.Contains(text, "ZXlK") {
		text = encodedJWTPattern.ReplaceAllString(text, Redacted)
	}
	if containsAny(text, "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox") {
		text = vendorPattern.ReplaceAllString(text, Redacted)
	}
	if containsAny(strings.ToLower(text), "bearer", "basic", "negotiate", "digest") {
		text = replaceParts(headerPattern, text, scrubHeader)
	}
	if strings.Contains(text, "://") {
		text = replaceParts(userInfoPattern, text, scrubUserInfo)
	}
	if strings.ContainsAny(text, "=:") {
		text = scrubPairs(text)
	}
	if strings.HasPrefix(text, "-") || containsAny(text, " -", "\t-", "\n-", "\r-", "\f-") {
		text = replaceParts(flagPattern, text, scrubFlag)
	}
	return text
}

// containsAny keeps the patterns, which are slow, from text without a trace of
// what they look for.
func containsAny(text string, traces ...string) bool {
	for _, trace := range traces {
		if strings.Contains(text, trace) {
			return true
		}
	}
	return false
}

// replaceParts replaces each match of pattern by what replace makes of its
// groups, the first of which is the whole match.
func replaceParts(pattern *regexp.Regexp, text string, replace func([]string) string) string {
	matches := pattern.FindAllStringSubmatchIndex(text, -1)
	if len(matches) == 0 {
		return text
	}
	var out strings.Builder
	last := 0
	for _, at := range matches {
		parts := make([]string, len(at)/2)
		for i := range parts {
			if at[2*i] >= 0 {
				parts[i] = text[at[2*i]:at[2*i+1]]
			}
		}
		out.WriteString(text[last:at[0]])
		out.WriteString(replace(parts))
		last = at[1]
	}
	out.WriteString(text[last:])
	return out.String()
}

// scrubHeader redacts the credentials after a scheme. Without the header's name
// the scheme may be a word of a sentence ("basic authentication").
func scrubHeader(parts []string) string {
	header, scheme, space, value := parts[1], parts[2], parts[3], parts[4]
	if header == "" && !looksSecret(value) {
		return parts[0]
	}
	return header + scheme + space + Redacted
}

// scrubUserInfo redacts passwords in URLs, and user names that are tokens.
func scrubUserInfo(parts []string) string {
	if !strings.ContainsAny(parts[2], ":%") && !looksSecret(parts[2]) {
		return parts[0]
	}
	return parts[1] + Redacted + "@"
}

// scrubFlag redacts the argument of a flag such as --password.
func scrubFlag(parts []string) string {
	if !isSecretName(parts[2]) || parts[4] == Redacted {
		return parts[0]
	}
	return parts[1] + parts[2] + parts[3] + Redacted
}
