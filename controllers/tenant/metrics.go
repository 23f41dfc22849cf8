package tenant

import "github.com/prometheus/client_golang/prometheus"

// writes counts the writes of status. What tenants there are is counted by the
// directory's own metrics.
type writes struct{ total *prometheus.CounterVec }

func newWrites(registerer prometheus.Registerer) (*writes, error) {
	w := &writes{total: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "auditquery_tenant_status_writes_total", Help: "Writes of the status of AuditTenants, by how they ended.",
	}, []string{"result"})}
	return w, registerer.Register(w.total)
}

func (w *writes) succeeded() { w.total.WithLabelValues("succeeded").Inc() }

func (w *writes) failed() { w.total.WithLabelValues("failed").Inc() }
