package ingest

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/ingest/entry"
	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/tenancy"
)

// testSpool is a real spool that can fail the next calls.
type testSpool struct {
	*spool.Spool

	mutex  sync.Mutex
	calls  []int // entries of each Append
	errs   []error
	during func() // runs in each Append before anything else
	stats  *spool.Stats
	taken  []entry.Entry
}

func (s *testSpool) Append(ctx context.Context, batch *spool.Batch) error {
	if s.during != nil {
		s.during()
	}
	if err := s.next(batch.Len()); err != nil {
		return err
	}
	return s.Spool.Append(ctx, batch)
}

func (s *testSpool) next(entries int) (err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.calls = append(s.calls, entries)
	if len(s.errs) > 0 {
		err, s.errs = s.errs[0], s.errs[1:]
	}
	return err
}

func (s *testSpool) Stats() spool.Stats {
	if s.stats != nil {
		return *s.stats
	}
	return s.Spool.Stats()
}

func (s *testSpool) failNext(errs ...error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.errs = append(s.errs, errs...)
}

func (s *testSpool) appends() []int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return append([]int(nil), s.calls...)
}

// entries returns all that is in the spool, in order.
func (s *testSpool) entries(t testing.TB) []entry.Entry {
	t.Helper()
	for int64(len(s.taken)) < s.Spool.Stats().Records {
		taken, err := s.Take(t.Context(), 1000, 8<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range taken {
			e, err := entry.Parse(bytes.Clone(one.Data))
			if err != nil {
				t.Fatal(err)
			}
			s.taken = append(s.taken, e)
		}
	}
	return s.taken
}

// fakeLetters keeps letters in memory and can fail the next call.
type fakeLetters struct {
	mutex   sync.Mutex
	letters []deadletter.Letter
	err     error
}

func (f *fakeLetters) Put(letters ...deadletter.Letter) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if err := f.err; err != nil {
		f.err = nil
		return err
	}
	f.letters = append(f.letters, letters...)
	return nil
}

func (f *fakeLetters) causes() []deadletter.Cause {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var all []deadletter.Cause
	for _, l := range f.letters {
		all = append(all, l.Cause)
	}
	return all
}

// logBook collects log lines.
type logBook struct {
	mutex sync.Mutex
	lines []string
}

func (b *logBook) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		b.mutex.Lock()
		defer b.mutex.Unlock()
		b.lines = append(b.lines, prefix+" "+args)
	}, funcr.Options{})
}

func (b *logBook) count(part string) int {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	n := 0
	for _, line := range b.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// fakeCluster is what a cluster says of tokens, permissions and organisations.
type fakeCluster struct {
	mutex sync.Mutex
	// allowed are user:verb:namespace or user:path.
	allowed map[string]bool
	asked   []string
	// reviewErr fails token reviews, accessErr access reviews, claimErr what is
	// known of organisations.
	reviewErr, accessErr, claimErr error
	during                         func() error // runs in each access review
}

func (f *fakeCluster) AuthenticateToken(_ context.Context, token string) (*authenticator.Response, bool, error) {
	name, ok := strings.CutPrefix(token, "token-of-")
	if f.reviewErr != nil || !ok {
		return nil, false, f.reviewErr
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: name}}, true, nil
}

func (f *fakeCluster) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	question := a.GetUser().GetName() + ":" + a.GetVerb() + ":" + a.GetPath()
	if a.IsResourceRequest() {
		question = a.GetUser().GetName() + ":" + a.GetVerb() + ":" + a.GetResource() + "." + a.GetAPIGroup() + ":" + a.GetNamespace()
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.asked = append(f.asked, question)
	err := f.accessErr
	if f.during != nil {
		err = f.during()
	}
	if err != nil {
		return authorizer.DecisionNoOpinion, "", err
	}
	if f.allowed[question] {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

func (f *fakeCluster) ConditionsAwareAuthorize(ctx context.Context, a authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(f.Authorize(ctx, a))
}

func (f *fakeCluster) EvaluateConditions(context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", authorizer.ErrorConditionEvaluationNotSupported
}

// Claimant binds org-shop to shop and org-lab to lab.
func (f *fakeCluster) Claimant(orgID string) (string, error) {
	if f.claimErr != nil {
		return "", f.claimErr
	}
	if name, ok := strings.CutPrefix(orgID, "org-"); ok {
		return name, nil
	}
	return tenancy.SystemNamespace, nil
}

// spaces is white space without end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// sizedReader announces a length.
type sizedReader struct {
	io.Reader
	size int64
}
