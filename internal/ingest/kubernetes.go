package ingest

import (
	"context"
	"net/http"

	"k8s.io/apimachinery/pkg/util/validation"

	"auditquery.dev/auditquery/internal/ingest/auth"
	"auditquery.dev/auditquery/internal/record"
)

// eventsTally says what became of the events of one list.
type eventsTally struct {
	Events      int `json:"events"`
	Skipped     int `json:"skipped"`
	Accepted    int `json:"accepted"`
	DeadLetters int `json:"dead_letters"`
}

// eventsWay takes in what a kube-apiserver's audit webhook sends. Whatever is
// wrong with single events, the list is answered 200: the webhook sends a refused
// list again, and gives it up after a few times, good events and all.
func (r *Receiver) eventsWay() way {
	return way{
		name:       "kubernetes",
		mediaTypes: []string{"application/json"},
		open: func(req *http.Request, sender auth.Sender) (taker, error) {
			cluster := req.PathValue("cluster")
			if err := clusterName(cluster); err != nil {
				return nil, err
			}
			if err := r.options.Senders.Permissions(sender).MayReport(req.Context(), cluster); err != nil {
				return nil, err
			}
			return &eventsTaker{source: eventsSource(cluster), options: r.eventsOf(cluster)}, nil
		},
	}
}

func clusterName(name string) error {
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return &refusedError{reason: refusedPath, status: http.StatusNotFound,
			message: "the URL names no cluster: that is a name of lower-case letters, digits, '-' and '.'"}
	}
	return nil
}

func eventsSource(cluster string) string { return "kubernetes/" + cluster }

func (r *Receiver) eventsOf(cluster string) record.KubernetesOptions {
	options := r.options.Events
	options.Cluster = cluster
	return options
}

type eventsTaker struct {
	source  string
	options record.KubernetesOptions
	tally   eventsTally
}

func (t *eventsTaker) take(ctx context.Context, d *delivery, body *meter) (answer, error) {
	s := d.stream(t.source)
	m := &mapper{options: t.options, now: d.receiver.options.Now}
	err := d.run(ctx, func() error {
		return readEvents(body, d.holdGroup, func(group []rawEvent) error {
			body.next()
			return t.group(ctx, d, s, m, group)
		})
	})
	return answer{status: http.StatusOK, body: t.tally}, err
}

// group takes in events that came together: all at once if there is memory for it,
// or one after the other.
func (t *eventsTaker) group(ctx context.Context, d *delivery, s *stream, m *mapper, group []rawEvent) error {
	step := len(group)
	if step > 1 && !d.holdGroup() {
		step = 1
	}
	for ; len(group) > 0; group = group[step:] {
		mapped := m.mapAll(group[:step])
		for i := range mapped {
			if err := t.event(ctx, d, s, &mapped[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *eventsTaker) event(ctx context.Context, d *delivery, s *stream, m *mappedEvent) error {
	fate, _, err := d.putMapped(ctx, s, m)
	t.tally.Events++
	switch fate {
	case fateSkipped:
		t.tally.Skipped++
	case fateBad:
		t.tally.DeadLetters++
	default:
		t.tally.Accepted++
	}
	return err
}
