package record

import (
	stdjson "encoding/json"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	authnv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// detailsWriter writes members of an object, in its canonical form. Absent ones,
// which are empty, are left out.
type detailsWriter struct {
	out []byte
	// foreign says that there is JSON in it that was not written here.
	foreign bool
}

// name writes the name of a member and what comes before it. Names of ours need
// no escaping.
func (d *detailsWriter) name(name string) {
	if d.out[len(d.out)-1] != '{' {
		d.out = append(d.out, ',')
	}
	d.out = append(d.out, '"')
	d.out = append(d.out, name...)
	d.out = append(d.out, '"', ':')
}

// key is name for names that a sender chose.
func (d *detailsWriter) key(key string) {
	if d.out[len(d.out)-1] != '{' {
		d.out = append(d.out, ',')
	}
	d.out = append(appendQuoted(d.out, key), ':')
}

func (d *detailsWriter) text(name, value string) {
	if value != "" {
		d.textOrEmpty(name, value)
	}
}

func (d *detailsWriter) textOrEmpty(name, value string) {
	d.name(name)
	d.out = appendQuoted(d.out, value)
}

func (d *detailsWriter) flag(name string, value bool) {
	if value {
		d.name(name)
		d.out = append(d.out, "true"...)
	}
}

func (d *detailsWriter) time(name string, value Timestamp) {
	if value != 0 {
		d.name(name)
		d.out = append(value.append(append(d.out, '"')), '"')
	}
}

func (d *detailsWriter) texts(name string, values []string) {
	if len(values) > 0 {
		d.name(name)
		d.list(values)
	}
}

func (d *detailsWriter) list(values []string) {
	d.out = append(d.out, '[')
	for i, value := range values {
		if i > 0 {
			d.out = append(d.out, ',')
		}
		d.out = appendQuoted(d.out, value)
	}
	d.out = append(d.out, ']')
}

// value writes JSON that came from elsewhere, compact.
func (d *detailsWriter) value(name string, value jsontext.Value) {
	if len(value) == 0 || string(value) == `{}` || string(value) == `[]` || string(value) == `""` || string(value) == `null` {
		return
	}
	d.name(name)
	d.out = append(d.out, value...)
	d.foreign = true
}

// object writes an object whose members fill writes.
func (d *detailsWriter) object(name string, fill func()) {
	before := len(d.out)
	d.name(name)
	d.out = append(d.out, '{')
	empty := len(d.out)
	fill()
	if len(d.out) == empty {
		d.out = d.out[:before]
		return
	}
	d.out = append(d.out, '}')
}

func (d *detailsWriter) user(name string, user *authnv1.UserInfo) {
	d.object(name, func() {
		d.textOrEmpty("username", user.Username)
		d.text("uid", user.UID)
		d.texts("groups", user.Groups)
		d.extra("extra", user.Extra)
	})
}

func (d *detailsWriter) extra(name string, extra map[string]authnv1.ExtraValue) {
	d.object(name, func() {
		var room [8]string
		for _, key := range sortedKeys(room[:0], extra) {
			if values := extra[key]; len(values) > 0 {
				d.key(key)
				d.list(scrubValues(key, values))
			}
		}
	})
}

// scrubValues returns values themselves if they are harmless.
func scrubValues(key string, values []string) []string {
	for i, value := range values {
		if scrubbed := scrubNamed(key, value, false); scrubbed != value {
			values = slices.Clone(values)
			values[i] = scrubbed
			for j := i + 1; j < len(values); j++ {
				values[j] = scrubNamed(key, values[j], false)
			}
			break
		}
	}
	return values
}

// annotations leaves out what has a member of its own. What admission webhooks
// patched can be in an annotation too.
func (d *detailsWriter) annotations(name string, annotations map[string]string, ofSecret bool) {
	d.object(name, func() {
		var room [8]string
		for _, key := range sortedKeys(room[:0], annotations) {
			if key != decisionKey && key != reasonKey {
				d.key(key)
				d.out = appendQuoted(d.out, scrubNamed(key, annotations[key], ofSecret))
			}
		}
	})
}

func sortedKeys[V any](keys []string, m map[string]V) []string {
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (d *detailsWriter) reference(name string, ref *auditv1.ObjectReference) {
	d.object(name, func() {
		d.text("api_version", ref.APIVersion)
		d.text("resource_version", ref.ResourceVersion)
		d.text("uid", string(ref.UID))
	})
}

func (d *detailsWriter) status(name string, status *metav1.Status) {
	d.object(name, func() {
		d.text("status", status.Status)
		d.text("message", cutMarked(scrubBounded(status.Message)))
		d.text("reason", string(status.Reason))
		if status.Details == nil {
			return
		}
		// encoding/json, whose tags these types are written for.
		if data, err := stdjson.Marshal(status.Details); err == nil {
			if scrubbed, err := ScrubJSON(data, false); err == nil {
				d.value("details", scrubbed)
			}
		}
	})
}
