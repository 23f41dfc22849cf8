package apiserver

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAServerThatEndsClosesEachConnectionBehindAnAnswer(t *testing.T) {
	l := &leaving{next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })}
	for _, c := range []struct {
		begun bool
		want  string
	}{{false, ""}, {true, "close"}} {
		l.begun.Store(c.begun)
		answer := httptest.NewRecorder()
		l.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
		if got := answer.Header().Get("Connection"); got != c.want || answer.Code != http.StatusTeapot {
			t.Errorf("begun %t: Connection is %q, status %d", c.begun, got, answer.Code)
		}
	}
}
