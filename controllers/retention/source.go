package retention

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/retention"
)

const (
	// pageSize is how many objects one request returns.
	pageSize = 100
	// maxObjects is how many policies, and how many holds, may be, and
	// maxNamedBytes how long all that they name: with more nothing is erased.
	maxObjects    = 5000
	maxNamedBytes = 32 << 20
)

// errTooMany: there is more than the controller takes into account. Rather than going
// by a part of it nothing is erased.
var errTooMany = errors.New("there is too much to go by")

// errNotListed: the API server did not say what policies or holds there are.
var errNotListed = errors.New("policies or holds cannot be listed")

// listError says what could not be listed, and whether that is for there being too many.
func listError(what string, err error) error {
	if errors.Is(err, errTooMany) {
		return fmt.Errorf("list %s: %w", what, err)
	}
	return fmt.Errorf("list %s: %w: %w", what, errNotListed, err)
}

// objectSource reads objects from the API server itself, never from a cache.
type objectSource struct{ reader client.Reader }

// policyObjects returns every RetentionPolicy, or ErrNotServed. With errTooMany it
// returns the first of them.
func (s objectSource) policyObjects(ctx context.Context) ([]v1alpha1.RetentionPolicy, error) {
	var all []v1alpha1.RetentionPolicy
	list := &v1alpha1.RetentionPolicyList{}
	err := s.pages(ctx, list, func() (objects, bytes int) {
		for i := range list.Items {
			bytes += lengthOf(list.Items[i].Spec.OrgIDs)
		}
		objects = len(list.Items)
		all = append(all, list.Items...)
		list.Items = nil
		return objects, bytes
	})
	return all, err
}

// holdObjects returns every LegalHold, or ErrNotServed. With errTooMany it returns the
// first of them.
func (s objectSource) holdObjects(ctx context.Context) ([]v1alpha1.LegalHold, error) {
	var all []v1alpha1.LegalHold
	list := &v1alpha1.LegalHoldList{}
	err := s.pages(ctx, list, func() (objects, bytes int) {
		for i := range list.Items {
			spec := &list.Items[i].Spec
			bytes += lengthOf(spec.OrgIDs) + lengthOf(spec.UserIDs) + lengthOf(spec.TargetIDs)
		}
		objects = len(list.Items)
		all = append(all, list.Items...)
		list.Items = nil
		return objects, bytes
	})
	return all, err
}

// pages reads a list to its end. The pages are of one instant; when they are not any
// more the API server says so.
func (s objectSource) pages(ctx context.Context, list client.ObjectList, take func() (objects, bytes int)) error {
	token, objects, bytes := "", 0, 0
	for {
		err := s.reader.List(ctx, list, client.Limit(pageSize), client.Continue(token))
		switch {
		case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
			return ErrNotServed
		case err != nil:
			return err
		}
		token = list.GetContinue()
		moreObjects, moreBytes := take()
		if objects, bytes = objects+moreObjects, bytes+moreBytes; objects > maxObjects || bytes > maxNamedBytes {
			return fmt.Errorf("%w: more than %d of them, or more than %d bytes of ids in them", errTooMany, maxObjects, maxNamedBytes)
		}
		if token == "" {
			return nil
		}
	}
}

func lengthOf(ids []string) (bytes int) {
	for _, id := range ids {
		bytes += len(id)
	}
	return bytes
}

// policies are what the API says now, as rules.
func (s objectSource) policies(ctx context.Context) ([]retention.Policy, error) {
	objects, err := s.policyObjects(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]retention.Policy, 0, len(objects))
	for i := range objects {
		out = append(out, convertPolicy(&objects[i]).policy)
	}
	return out, nil
}

// holds are what the API says now.
func (s objectSource) holds(ctx context.Context) ([]retention.Hold, error) {
	objects, err := s.holdObjects(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]retention.Hold, 0, len(objects))
	for i := range objects {
		out = append(out, convertHold(&objects[i]).hold)
	}
	return out, nil
}
