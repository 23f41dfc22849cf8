package registry

import (
	"context"
	"errors"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"auditquery.dev/auditquery/internal/store"
)

// retryAfter is how long a client waits that is told to come again. kubectl tries
// ten times.
const retryAfter = time.Second

func badRequest(message string) error { return apierrors.NewBadRequest(message) }

func (s *storage) notFound(name string) error { return apierrors.NewNotFound(s.resource, name) }

// notReady is the answer while it is not known who may see what: neither
// everything nor nothing.
func notReady() error {
	return unavailable("it is not known yet which records this namespace may see; try again", retryAfter)
}

// failure turns what a store returned into what the API says. Its cause goes to
// the log, never to the client: it may name addresses.
func (s *storage) failure(ctx context.Context, err error) error {
	var e *store.Error
	if !errors.As(err, &e) {
		return s.unexpected(ctx, err)
	}
	switch e.Reason {
	case store.NotFound:
		return apierrors.NewGenericServerResponse(http.StatusNotFound, "get", s.resource, "", e.Message, 0, false)
	case store.Invalid:
		return badRequest(e.Message)
	case store.Expired:
		return apierrors.NewResourceExpired(e.Message)
	case store.Unavailable:
		s.log(ctx).Info("the store is unavailable", "error", e.Error())
		return unavailable("the store of records cannot answer now: "+e.Message, retryAfter)
	case store.Timeout:
		s.log(ctx).Info("the store took too long", "error", e.Error())
		return apierrors.NewTimeoutError("the store of records took too long: "+e.Message, 0)
	case store.Conflict:
		// Nothing that a client does, or waits for, helps here: no Retry-After.
		s.log(ctx).Error(err, "the store holds something that contradicts us")
		return unavailable("the store of records is not as it should be, an administrator has to look: "+e.Message, 0)
	default:
		return s.unexpected(ctx, err)
	}
}

func (s *storage) unexpected(ctx context.Context, err error) error {
	if errors.Is(err, errNamespaceUnknown) {
		return notReady()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return apierrors.NewTimeoutError("the store of records took too long; narrow the time window", 0)
	}
	s.log(ctx).Error(err, "a request failed")
	return apierrors.NewInternalError(errors.New("the records could not be read; the server's log says why"))
}

func (s *storage) log(ctx context.Context) klog.Logger {
	return klog.FromContext(ctx).WithValues("resource", s.resource.String())
}

func unavailable(message string, after time.Duration) error {
	err := apierrors.NewServiceUnavailable(message)
	if after > 0 {
		err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: int32((after + time.Second - 1) / time.Second)}
	}
	return err
}

func expired(err error) error { return apierrors.NewResourceExpired(storeMessage(err)) }

// storeMessage is what a store's error says to a client, without the operation,
// which is ours.
func storeMessage(err error) string {
	var e *store.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}
