package record

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	authnv1 "k8s.io/api/authentication/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// checkMade fails when details that count as canonical are not as Normalize would
// have them, and returns whether they counted as such.
func checkMade(t *testing.T, event *auditv1.Event, options KubernetesOptions) bool {
	t.Helper()
	_, canonical, _, err := kubernetesRecords(event, options)
	if err != nil {
		return false
	}
	now := event.RequestReceivedTimestamp.Time
	prepared, _, err := PrepareEvent(nil, event, options, now)
	if err != nil {
		t.Fatal(err)
	}
	records, _, err := KubernetesRecords(event, options)
	if err != nil {
		t.Fatal(err)
	}
	var want []Prepared
	for _, r := range records {
		Normalize(r, now)
		want = append(want, Prepare(r))
	}
	if diff := cmp.Diff(want, prepared); diff != "" {
		t.Errorf("canonical: %t (-normalised +prepared):\n%s", canonical, diff)
	}
	return canonical
}

func TestDetailsThatWereWrittenHereAreCanonical(t *testing.T) {
	odd := "\x00\x1f\x7f\"\\/\b\n\t<&>\u2028\u2029\ufffd é 💾"
	events := realEvents(t)
	strange := events[0].DeepCopy()
	strange.User = authnv1.UserInfo{Username: odd, UID: odd, Groups: []string{odd, "", odd},
		Extra: map[string]authnv1.ExtraValue{odd: {odd, odd}, odd + "2": {}, "": {""}, MarkKey: {odd}}}
	strange.ImpersonatedUser = strange.User.DeepCopy()
	strange.SourceIPs = []string{odd, odd}
	strange.RequestURI, strange.UserAgent = "/"+odd, odd
	strange.Annotations = map[string]string{odd: odd, "": odd, decisionKey: odd, reasonKey: odd}
	strange.ObjectRef = &auditv1.ObjectReference{Name: odd, APIVersion: odd, UID: "u", ResourceVersion: odd}
	made, foreign := 0, 0
	for _, event := range append(events, strange) {
		for _, bodies := range []bool{false, true} {
			if checkMade(t, event, KubernetesOptions{OwnCluster: "local", StoreBodies: bodies}) {
				made++
			} else {
				foreign++
			}
		}
	}
	if made == 0 || foreign == 0 {
		t.Errorf("%d were made and %d were not, which shows little", made, foreign)
	}
}
