package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/test/stage"
)

// The two sizes of a cluster that are compared.
const (
	fewNamespaces, fewOrgIDs   = 5, 20
	manyNamespaces, manyOrgIDs = 5_000, 20_000

	// orgIDsOfOne is what one AuditTenant binds, of few or of many: the list of its
	// namespace is to cost the same.
	orgIDsOfOne = 20
	// makers make objects at the same time.
	makers = 20
)

// tenantsOfElasticsearch measures what it costs a list that there are many tenants:
// that of a namespace, and that of what nobody claims.
func tenantsOfElasticsearch(ctx context.Context, b *bench) ([]figure, error) {
	if err := errors.Join(b.loadElasticsearch(ctx), b.startStage(ctx)); err != nil {
		return nil, err
	}
	server, err := b.ownServer(ctx)
	if err != nil {
		return nil, err
	}
	config, err := b.reader(ctx, benchReader)
	if err != nil {
		return nil, err
	}
	l := lister{ctx: ctx, config: server.Config(config)}
	own, unclaimed := tenantName(0), stage.SystemNamespace

	if err := b.makeTenants(ctx, server, 0, fewNamespaces, fewOrgIDs); err != nil {
		return nil, err
	}
	few, err := b.tenantLists(ctx, l, "few", own, unclaimed)
	if err != nil {
		return nil, err
	}
	if err := b.makeTenants(ctx, server, fewNamespaces, manyNamespaces, manyOrgIDs); err != nil {
		return nil, err
	}
	many, err := b.tenantLists(ctx, l, "many", own, unclaimed)
	if err != nil {
		return nil, err
	}
	b.note("tenants: few are %d namespaces and %d org ids, many are %d and %d; own address, identity, pages of %d in the window of the month; the two sizes are measured one after the other",
		fewNamespaces, fewOrgIDs, manyNamespaces, manyOrgIDs, pageRows)
	const likeFew, likeTenFew = 1.2, 10
	return []figure{
		quotient("a namespace's list, many tenants ÷ few", likeFew, *many[0], *few[0]),
		quotient("the list of the unclaimed, many tenants ÷ few", likeTenFew, *many[1], *few[1]),
	}, nil
}

// tenantLists times the lists of two namespaces in turn.
func (b *bench) tenantLists(ctx context.Context, l lister, size string, namespaces ...string) ([]*side, error) {
	var sides []*side
	var callers []*caller
	defer func() {
		for _, c := range callers {
			c.close()
		}
	}()
	for _, namespace := range namespaces {
		s, a, err := l.side(namespace+" beside "+size, pageOf(namespace), "items", transport{http2: true})
		if err != nil {
			return nil, err
		}
		callers = append(callers, a.caller)
		sides = append(sides, s)
	}
	b.progress.step("measuring lists beside %s tenants", size)
	return sides, b.interleave(ctx, "a list", b.settings.iterations, sides...)
}

func pageOf(namespace string) string {
	return "/apis/records.auditquery.dev/v1alpha1/namespaces/" + namespace + "/audits?" + url.Values{
		"limit":         {strconv.Itoa(pageRows)},
		"fieldSelector": {"from=" + monthStart().Format(time.RFC3339) + ",to=" + monthEnd().Format(time.RFC3339)},
	}.Encode()
}

func tenantName(i int) string { return fmt.Sprintf("tenant-%04d", i) }

// makeTenants makes the namespaces from..to, and AuditTenants until there are so
// many org ids, and waits until the server knows of them. The first namespace
// claims the organisation that has the most records.
func (b *bench) makeTenants(ctx context.Context, server *stage.Server, from, to, orgIDs int) error {
	b.progress.step("making %d namespaces and %d org ids", to, orgIDs)
	client, err := kubernetes.NewForConfig(b.stage.ControlPlane().RESTConfig())
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(makers)
	for i := from; i < to; i++ {
		group.Go(func() error {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tenantName(i)}}
			_, err := client.CoreV1().Namespaces().Create(groupCtx, ns, metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := b.bindOrgs(ctx, orgIDs); err != nil {
		return err
	}
	return server.Process().WaitUntil(ctx, "the server knows the tenants", func(ctx context.Context) error {
		found, err := scrapeFrom(ctx, server.MetricsURL())
		if err != nil {
			return err
		}
		if claimed := int(found.sum("auditquery_tenancy_claimed_org_ids")); claimed != orgIDs {
			return fmt.Errorf("it knows %d org ids", claimed)
		}
		if namespaces := int(found.sum("auditquery_tenancy_namespaces")); namespaces < to {
			return fmt.Errorf("it knows %d namespaces", namespaces)
		}
		return nil
	})
}

// bindOrgs binds org ids to namespaces, orgIDsOfOne each.
func (b *bench) bindOrgs(ctx context.Context, orgIDs int) error {
	client, err := dynamic.NewForConfig(b.stage.ControlPlane().RESTConfig())
	if err != nil {
		return err
	}
	tenants := client.Resource(v1alpha1.GroupVersion.WithResource("audittenants"))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(makers)
	for i := range orgIDs / orgIDsOfOne {
		group.Go(func() error {
			_, err := tenants.Apply(ctx, tenantName(i), tenantBinding(i), metav1.ApplyOptions{FieldManager: "bench"})
			return err
		})
	}
	return group.Wait()
}

func tenantBinding(i int) *unstructured.Unstructured {
	orgs := []any{}
	for k := i * orgIDsOfOne; k < (i+1)*orgIDsOfOne; k++ {
		org := fmt.Sprintf("org-%06d", k)
		if k == 0 {
			org = namespaceName(0)
		}
		orgs = append(orgs, org)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "AuditTenant", "metadata": map[string]any{"name": tenantName(i)},
		"spec": map[string]any{"namespace": tenantName(i), "orgIDs": orgs},
	}}
}
