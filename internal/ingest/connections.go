package ingest

import (
	"net"
	"net/http"
	"sync"
)

// connections bounds how many connections are open. One too many takes the place
// of one that is idle; where none is, it is closed itself.
type connections struct {
	limit int

	mutex sync.Mutex
	open  map[net.Conn]http.ConnState
}

func newConnections(limit int) *connections {
	return &connections{limit: limit, open: map[net.Conn]http.ConnState{}}
}

// changed is an http.Server's ConnState. A new connection has done nothing yet,
// not even its handshake.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
		return
	case http.StateNew:
		if len(c.open) >= c.limit && !c.closeIdle() {
			_ = conn.Close() // it is nobody's yet
		}
	}
	c.open[conn] = state
}

// closeIdle closes a connection that waits for its next request. Its client finds
// out as it does after the idle timeout, and connects again.
func (c *connections) closeIdle() bool {
	for conn, state := range c.open {
		if state == http.StateIdle {
			delete(c.open, conn)
			go func() { _ = conn.Close() }() // saying goodbye over TLS may take its time
			return true
		}
	}
	return false
}
