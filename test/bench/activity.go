package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"auditquery.dev/auditquery/api/v1alpha1"
)

const (
	activeNamespaces = 10
	// activityPeriod is the time from one object that is made to the next;
	// each is deleted a little later, and both are audit events.
	activityPeriod = 100 * time.Millisecond
)

func activeNamespace(i int) string { return fmt.Sprintf("active-%d", i%activeNamespaces) }

// makeQueries makes namespaces and queries of many forms in them.
func (o *operator) makeQueries(ctx context.Context, count int) error {
	for i := range activeNamespaces {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: activeNamespace(i)}}
		if err := o.client.Create(ctx, namespace); err != nil {
			return err
		}
	}
	const workers = 8
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i := range count {
		group.Go(func() error { return o.client.Create(ctx, standingQuery(i)) })
	}
	return group.Wait()
}

func standingQuery(i int) *v1alpha1.AuditQuery {
	forms := []func() v1alpha1.AuditQuerySpec{
		audits(v1alpha1.AuditFilters{}),
		audits(v1alpha1.AuditFilters{Action: v1alpha1.Value("delete"), TargetResourceType: v1alpha1.Value("configmaps")}),
		audits(v1alpha1.AuditFilters{Outcome: v1alpha1.Value("Denied")}),
		audits(v1alpha1.AuditFilters{UserID: v1alpha1.Value("nobody@example.com")}),
		audits(v1alpha1.AuditFilters{Action: v1alpha1.AnyOf("create", "update", "patch"), ExcludeActorTypes: []string{"System", "Node"}}),
		audits(v1alpha1.AuditFilters{Text: "busy"}),
		audits(v1alpha1.AuditFilters{TargetResourceName: v1alpha1.Value(activityName(i))}),
		func() v1alpha1.AuditQuerySpec {
			return v1alpha1.AuditQuerySpec{AuthAudits: &v1alpha1.AuthAuditFilters{Result: v1alpha1.Value("Failure")}}
		},
	}
	windows := []string{"", "now-1hour", "today", "15m"}
	spec := forms[i%len(forms)]()
	spec.From = windows[i/len(forms)%len(windows)]
	spec.Interval = &metav1.Duration{Duration: queryInterval}
	return &v1alpha1.AuditQuery{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("standing-%04d", i), Namespace: activeNamespace(i)}, Spec: spec,
	}
}

func audits(filters v1alpha1.AuditFilters) func() v1alpha1.AuditQuerySpec {
	return func() v1alpha1.AuditQuerySpec { return v1alpha1.AuditQuerySpec{Audits: &filters} }
}

func activityName(i int) string { return fmt.Sprintf("busy-%d", i) }

// beBusy makes and deletes objects until ctx ends; the channel then gives what
// went wrong.
func (o *operator) beBusy(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() {
		ticker := time.NewTicker(activityPeriod)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				done <- nil
				return
			case <-ticker.C:
			}
			if err := o.act(ctx, i); err != nil && ctx.Err() == nil {
				done <- fmt.Errorf("be busy: %w", err)
				return
			}
		}
	}()
	return done
}

// act makes one object and deletes one that was made before.
func (o *operator) act(ctx context.Context, i int) error {
	const lifetime = 20
	made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: activityName(i), Namespace: activeNamespace(i)}}
	err := o.client.Create(ctx, made)
	if i < lifetime {
		return err
	}
	old := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: activityName(i - lifetime), Namespace: activeNamespace(i - lifetime)}}
	return errors.Join(err, client.IgnoreNotFound(o.client.Delete(ctx, old)))
}
