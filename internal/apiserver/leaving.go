package apiserver

import (
	"net/http"
	"sync/atomic"
)

// leaving has clients go elsewhere before a server ends. That /readyz says so
// keeps new connections away, but the kube-apiserver keeps the ones that it has for
// hours: what comes by them when the server has ended its delay would be refused.
// So each of them is closed behind the next answer, as HTTP has it: a client sends
// what it still has to ask by a new connection, by itself.
type leaving struct {
	begun atomic.Bool
	next  http.Handler
}

func (l *leaving) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if l.begun.Load() {
		// In HTTP/2 this becomes GOAWAY: what is on its way is answered.
		w.Header().Set("Connection", "close")
	}
	l.next.ServeHTTP(w, req)
}
