// Package balancer divides TCP connections among servers as a Service of
// Kubernetes does: a new connection goes to one of those that say that they are
// ready, connections that are there stay until an end closes them, and nothing is
// tried twice.
package balancer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"auditquery.dev/auditquery/test/loopback"
)

const (
	probeInterval = 100 * time.Millisecond
	probeTimeout  = time.Second
	dialTimeout   = 5 * time.Second
)

// Balancer is a running balancer. Its methods may be called from any goroutine.
type Balancer struct {
	port     int
	listener net.Listener
	client   *http.Client
	end      context.CancelFunc
	work     sync.WaitGroup

	mutex    sync.Mutex
	backends []*backend
	next     int
	open     map[net.Conn]struct{}
}

// backend is a server.
type backend struct {
	address string
	ready   bool
}

// Start starts a balancer over servers that are given by their address and answer
// /readyz by HTTPS there. Until one is ready, connections are closed. Close it.
func Start(addresses ...string) (*Balancer, error) {
	ports, err := loopback.Ports(1)
	if err != nil {
		return nil, fmt.Errorf("start a balancer: %w", err)
	}
	listener, err := net.Listen("tcp", loopback.Address(ports[0]))
	if err != nil {
		return nil, fmt.Errorf("start a balancer: %w", err)
	}
	ctx, end := context.WithCancel(context.Background())
	b := &Balancer{
		port: ports[0], listener: listener, end: end, open: map[net.Conn]struct{}{},
		// A kubelet verifies no certificate either; no secret is sent. Each probe
		// connects anew, as a kubelet's does.
		client: &http.Client{Timeout: probeTimeout, Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, //nolint:gosec // see above
		}},
	}
	for _, address := range addresses {
		b.backends = append(b.backends, &backend{address: address})
	}
	for _, backend := range b.backends {
		b.work.Go(func() { b.follow(ctx, backend) })
	}
	b.work.Go(b.accept)
	return b, nil
}

// Port is where the balancer listens on 127.0.0.1.
func (b *Balancer) Port() int { return b.port }

// Ready tells how many servers are ready.
func (b *Balancer) Ready() int {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	count := 0
	for _, backend := range b.backends {
		if backend.ready {
			count++
		}
	}
	return count
}

// Close ends the balancer and all connections.
func (b *Balancer) Close() error {
	b.end()
	err := b.listener.Close()
	b.mutex.Lock()
	for connection := range b.open {
		_ = connection.Close()
	}
	b.open = nil
	b.mutex.Unlock()
	b.work.Wait()
	b.client.CloseIdleConnections()
	return err
}

// follow asks a server for ever whether it is ready.
func (b *Balancer) follow(ctx context.Context, at *backend) {
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		ready := b.probe(ctx, at.address)
		b.mutex.Lock()
		at.ready = ready
		b.mutex.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (b *Balancer) probe(ctx context.Context, address string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	response, err := b.client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func (b *Balancer) accept() {
	for {
		connection, err := b.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			b.work.Go(func() { b.carry(connection) })
		}
	}
}

// choose takes the ready servers in turn.
func (b *Balancer) choose() (string, bool) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for range b.backends {
		candidate := b.backends[b.next%len(b.backends)]
		b.next++
		if candidate.ready {
			return candidate.address, true
		}
	}
	return "", false
}

// carry passes on what both sides say until both have said all.
func (b *Balancer) carry(client net.Conn) {
	defer b.forget(client)
	address, ok := b.choose()
	if !b.remember(client) || !ok {
		return
	}
	server, err := net.DialTimeout("tcp", address, dialTimeout)
	if err != nil {
		return
	}
	defer b.forget(server)
	if !b.remember(server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { pass(server, client) })
	both.Go(func() { pass(client, server) })
	both.Wait()
}

// pass copies one direction and passes its end on, orderly or not.
func pass(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if tcp, ok := to.(*net.TCPConn); ok && err == nil {
		_ = tcp.CloseWrite()
		return
	}
	_ = to.Close()
	_ = from.Close()
}

// remember has Close end a connection. It is false when that has happened.
func (b *Balancer) remember(connection net.Conn) bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.open == nil {
		return false
	}
	b.open[connection] = struct{}{}
	return true
}

func (b *Balancer) forget(connection net.Conn) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	delete(b.open, connection)
	_ = connection.Close()
}
