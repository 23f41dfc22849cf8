package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
)

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	// answerTimeout is what is left for the answer after RequestTimeout.
	answerTimeout = 10 * time.Second
	// shutdownTimeout lets bodies that are being stored end.
	shutdownTimeout = RequestTimeout + lateFlush + 2*time.Second

	// What one connection of HTTP/2 may send at once, and what may wait of it in
	// memory until it is read.
	maxStreams       = 64
	connectionBuffer = 512 << 10
	streamBuffer     = 256 << 10
)

// DefaultMaxConnections is how many connections may be open.
const DefaultMaxConnections = 1024

// ServerOptions say where and how a Server serves.
type ServerOptions struct {
	// Address to listen at, such as 127.0.0.1:8444.
	Address string
	TLS     TLSFiles
	Handler http.Handler
	// MaxConnections is how many may be open; 0 means DefaultMaxConnections.
	MaxConnections int
	Log            logr.Logger
}

// Server serves a handler over TLS. Clients may show certificates; whether they
// must is the handler's to say.
type Server struct {
	listener net.Listener
	server   *http.Server
	log      logr.Logger
}

// NewServer listens and reads the files. It answers nobody until Start; who
// connects earlier waits.
func NewServer(options ServerOptions) (*Server, error) {
	reloading, err := newReloadingTLS(options.TLS, time.Now, options.Log)
	if err != nil {
		return nil, err
	}
	if options.MaxConnections <= 0 {
		options.MaxConnections = DefaultMaxConnections
	}
	listener, err := net.Listen("tcp", options.Address)
	if err != nil {
		return nil, fmt.Errorf("listen for audit records: %w", err)
	}
	config := reloading.serverConfig()
	return &Server{
		listener: tls.NewListener(listener, config),
		log:      options.Log,
		server: &http.Server{
			Handler:           options.Handler,
			TLSConfig:         config,
			ReadHeaderTimeout: readHeaderTimeout,
			ReadTimeout:       RequestTimeout,
			WriteTimeout:      RequestTimeout + answerTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          httpLog(options.Log),
			ConnState:         newConnections(options.MaxConnections).changed,
			HTTP2: &http.HTTP2Config{
				MaxConcurrentStreams:          maxStreams,
				MaxReceiveBufferPerConnection: connectionBuffer,
				MaxReceiveBufferPerStream:     streamBuffer,
			},
		},
	}, nil
}

// Address is where the server listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Start serves until ctx is done, then lets what is under way end.
func (s *Server) Start(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(s.listener) }()
	s.log.Info("receiving audit records", "address", s.Address())
	select {
	case err := <-done:
		return fmt.Errorf("receive audit records: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := s.server.Shutdown(ending)
	if err != nil {
		err = errors.Join(fmt.Errorf("stop receiving audit records: %w", err), s.server.Close())
	}
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// Close gives the address back when Start was never called; else it does nothing.
func (s *Server) Close() error {
	if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// httpLog passes net/http's lines, which are about clients that failed to shake
// hands or went away, to a structured log.
func httpLog(logger logr.Logger) *log.Logger {
	return log.New(lineWriter(func(line string) {
		logger.V(1).Info("connection", "message", line)
	}), "", 0)
}

type lineWriter func(line string)

func (w lineWriter) Write(p []byte) (int, error) {
	w(cut(strings.TrimSpace(string(p)), maxMessage))
	return len(p), nil
}
