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
)

// Server serves a handler over TLS to clients with certificates.
type Server struct {
	listener net.Listener
	server   *http.Server
	log      logr.Logger
}

// NewServer listens on address, such as 127.0.0.1:8443, and reads the files. It
// answers nobody until Start; who connects earlier waits.
func NewServer(address string, files TLSFiles, handler http.Handler, logger logr.Logger) (*Server, error) {
	reloading, err := newReloadingTLS(files, time.Now, logger)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for audit events: %w", err)
	}
	config := reloading.serverConfig()
	return &Server{
		listener: tls.NewListener(listener, config),
		log:      logger,
		server: &http.Server{
			Handler:           handler,
			TLSConfig:         config,
			ReadHeaderTimeout: readHeaderTimeout,
			ReadTimeout:       RequestTimeout,
			WriteTimeout:      RequestTimeout + answerTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          httpLog(logger),
		},
	}, nil
}

// Address is where the server listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Start serves until ctx is done, then lets what is under way end.
func (s *Server) Start(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(s.listener) }()
	s.log.Info("receiving audit events", "address", s.Address())
	select {
	case err := <-done:
		return fmt.Errorf("receive audit events: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := s.server.Shutdown(ending)
	if err != nil {
		err = errors.Join(fmt.Errorf("stop receiving audit events: %w", err), s.server.Close())
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

// NeedLeaderElection tells a manager that every replica receives.
func (*Server) NeedLeaderElection() bool { return false }

// httpLog passes net/http's lines, which are about clients that failed to shake
// hands or went away, to a structured log.
func httpLog(logger logr.Logger) *log.Logger {
	return log.New(lineWriter(func(line string) {
		logger.V(1).Info("connection", "message", line)
	}), "", 0)
}

type lineWriter func(line string)

func (w lineWriter) Write(p []byte) (int, error) {
	w(cut(strings.TrimSpace(string(p)), MaxReason))
	return len(p), nil
}
