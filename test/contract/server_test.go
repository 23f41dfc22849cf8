// Package contract_test holds the REST lists to the API that they take the place
// of: its own generated client runs against them unchanged, and schemathesis
// against their OpenAPI document.
package contract_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/rest"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/store/sqlite"
	"auditquery.dev/auditquery/internal/tenancy"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/repository"
)

// homeEnv names the directory of the Python environment.
const homeEnv = "AUDITQUERY_CONTRACT_HOME"

// python returns the interpreter that has what the tests run.
func python(t *testing.T) string {
	t.Helper()
	home := os.Getenv(homeEnv)
	if home == "" {
		root, err := repository.Root()
		if err != nil {
			t.Fatal(err)
		}
		home = filepath.Join(root, "bin", "contract")
	}
	path := filepath.Join(home, "bin", "python")
	if _, err := os.Stat(filepath.Join(home, ".stamp")); err != nil {
		t.Fatalf("%s is not whole: run `make contract`, or set %s (%v)", home, homeEnv, err)
	}
	return path
}

// run runs Python in a folder of its own and returns its output.
func run(t *testing.T, stdin []byte, arguments ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), python(t), arguments...)
	command.Dir = t.TempDir()
	command.Stdin = bytes.NewReader(stdin)
	command.WaitDelay = 5 * time.Second
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("%w\n%s", err, problems.String())
	}
	return out.String(), nil
}

const token = "the-right-token"

// now is the clock of the server: a minute after what the builders make.
func now() time.Time { return builders.Time().Add(time.Minute) }

// directory gives org-1 to the namespace shop.
type directory struct{}

func (directory) Scope(namespace string) (query.Scope, error) {
	if namespace != "shop" {
		return query.Scope{}, tenancy.ErrUnknownNamespace
	}
	return query.Scope{Name: tenancy.ScopeName(namespace), Restrict: query.Equal{Field: "org_id", Value: "org-1"}}, nil
}

func (directory) Owns(namespace, orgID string) (bool, error) {
	return namespace == "shop" && orgID == "org-1", nil
}

// serve starts the handler over an embedded store with records, behind what the
// API server does with a request before: a token is asked for, and the path
// becomes a RequestInfo. It returns the server's address.
func serve(t *testing.T, records ...record.Record) string {
	t.Helper()
	held, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "records.db")})
	if err != nil {
		t.Fatal(err)
	}
	outcomes, err := held.Append(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes {
		if o.Result != store.Stored {
			t.Fatalf("a record is %s: %v", o.Result, o.Err)
		}
	}
	cursors, err := store.NewCursors(bytes.Repeat([]byte{7}, store.CursorKeyBytes), now)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := rest.New(rest.Options{
		Store: held, Cursors: cursors, Tenancy: directory{}, Gate: semaphore.NewWeighted(16),
		Metrics: prometheus.NewRegistry(), Now: now, Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(authenticated(resolved(handler)))
	t.Cleanup(func() {
		server.Close()
		if err := held.Close(); err != nil {
			t.Error(err)
		}
	})
	return server.URL
}

func authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer "+token {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintln(w, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}`)
	})
}

func resolved(next http.Handler) http.Handler {
	factory := request.RequestInfoFactory{APIPrefixes: sets.NewString("apis", "api"), GrouplessAPIPrefixes: sets.NewString("api")}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		meant := r.Clone(context.Background())
		if list, ok := strings.CutPrefix(r.URL.Path, rest.OwnPrefix); ok {
			meant.URL.Path = rest.GroupPrefix + list
			if r.URL.Query().Get("org_id") == "org-1" {
				meant.URL.Path = rest.GroupPrefix + "namespaces/shop/" + list
			}
		}
		// What the selectors of Kubernetes do is tested elsewhere.
		meant.URL.RawQuery = ""
		info, err := factory.NewRequestInfo(meant)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, r.WithContext(request.WithRequestInfo(r.Context(), info)))
	})
}
