package feed

import (
	"github.com/prometheus/client_golang/prometheus"

	"auditquery.dev/auditquery/internal/tenancy"
)

// collector reads a Directory when it is scraped.
type collector struct {
	directory *tenancy.Directory

	ready, rebuild, namespaces, orgs, tenants *prometheus.Desc
}

// NewCollector returns the metrics of a Directory. Labels take fixed values: no
// namespace, tenant or org id is among them.
func NewCollector(directory *tenancy.Directory) prometheus.Collector {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("auditquery_tenancy_"+name, help, labels, nil)
	}
	return &collector{
		directory:  directory,
		ready:      describe("ready", "1 when it is known which records each namespace may see, else 0."),
		rebuild:    describe("rebuild_seconds", "How long it took to take in the last change."),
		namespaces: describe("namespaces", "Namespaces that exist."),
		orgs:       describe("claimed_org_ids", "Org ids that AuditTenants bind to namespaces that exist."),
		tenants:    describe("tenants", "AuditTenants, by what is wrong with them.", "problem"),
	}
}

func (c *collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.ready, c.rebuild, c.namespaces, c.orgs, c.tenants} {
		descriptions <- d
	}
}

func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	x, err := c.directory.Index()
	if err != nil {
		gauge(c.ready, 0)
		return
	}
	claims := x.Claims()
	gauge(c.ready, 1)
	gauge(c.rebuild, c.directory.RebuildTime().Seconds())
	gauge(c.namespaces, float64(claims.Namespaces))
	gauge(c.orgs, float64(claims.OrgIDs))
	gauge(c.tenants, float64(claims.Conflicted), "conflict")
	gauge(c.tenants, float64(claims.Dangling), "namespace_missing")
	gauge(c.tenants, float64(claims.Tenants-claims.Conflicted-claims.Dangling), "none")
}
