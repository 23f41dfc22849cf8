package elasticsearch

import (
	"compress/gzip"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
)

// Bounds of the connections that are kept open.
const (
	maxIdleConnections = 32
	maxConnections     = 64
	idleTimeout        = 90 * time.Second
	dialTimeout        = 5 * time.Second
	// reloadInterval is how often files are looked at while all is well.
	reloadInterval = 10 * time.Second
	// forcedReloadInterval is how often while requests are refused.
	forcedReloadInterval = time.Second
	// bufferBytes is larger than the default, since answers are.
	bufferBytes = 64 << 10
	userAgent   = "auditquery"
)

// session is a pool of connections made with one set of credentials.
type session struct {
	*elastictransport.Client
	fingerprint [sha256.Size]byte
	idle        interface{ CloseIdleConnections() }
}

func newSession(o Options, c Connection) (*session, error) {
	urls, err := c.urls()
	if err != nil {
		return nil, err
	}
	s := &session{fingerprint: c.fingerprint()}
	roundTripper := o.transport
	if roundTripper == nil {
		network, err := newNetwork(o, c)
		if err != nil {
			return nil, err
		}
		roundTripper, s.idle = network, network
	}
	options := []elastictransport.Option{
		elastictransport.WithURLs(urls...), elastictransport.WithTransport(roundTripper),
		elastictransport.WithUserAgent(userAgent), elastictransport.WithDisableRetry(),
	}
	switch {
	case c.APIKey != "":
		options = append(options, elastictransport.WithAPIKey(c.encodedAPIKey()))
	case c.Username != "" || c.Password != "":
		options = append(options, elastictransport.WithBasicAuth(c.Username, c.Password))
	}
	if o.Compress {
		options = append(options, elastictransport.WithCompression(gzip.BestSpeed))
	}
	if s.Client, err = elastictransport.NewClient(options...); err != nil {
		return nil, fmt.Errorf("elasticsearch: the client can't be made: %w", err)
	}
	return s, nil
}

func newNetwork(o Options, c Connection) (*http.Transport, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(c.CA) > 0 {
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(c.CA) {
			return nil, fmt.Errorf("elasticsearch: the CA holds no certificate in PEM form")
		}
	}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       tlsConfig,
		TLSHandshakeTimeout:   dialTimeout,
		MaxIdleConns:          maxIdleConnections,
		MaxIdleConnsPerHost:   maxIdleConnections,
		MaxConnsPerHost:       maxConnections,
		IdleConnTimeout:       idleTimeout,
		ExpectContinueTimeout: time.Second,
		ReadBufferSize:        bufferBytes,
		WriteBufferSize:       bufferBytes,
		// Go would ask for gzip by itself, which triples the cost of a page.
		DisableCompression: !o.Compress,
	}, nil
}

func (s *session) close() {
	if s.idle != nil {
		s.idle.CloseIdleConnections()
	}
}

// sessions holds the session of now and replaces it when files change.
type sessions struct {
	options Options

	mu      sync.Mutex
	current *session
	looked  time.Time
}

func newSessions(o Options) (*sessions, error) {
	connection, err := o.connection()
	if err != nil {
		return nil, err
	}
	first, err := newSession(o, connection)
	if err != nil {
		return nil, err
	}
	return &sessions{options: o, current: first, looked: o.Clock()}, nil
}

func (o Options) connection() (Connection, error) {
	if o.Directory == "" {
		return o.Connection, nil
	}
	return readConnection(o.Directory)
}

// get returns the session to use.
func (s *sessions) get() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reload(reloadInterval)
	return s.current
}

// refused is called when credentials or certificates were: it looks at the files
// again and tells whether they are others than those of used.
func (s *sessions) refused(used *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reload(forcedReloadInterval)
	return s.current != used
}

// reload keeps the session when files can't be read or are no credentials: a
// Secret may be in the middle of a change.
func (s *sessions) reload(interval time.Duration) {
	now := s.options.Clock()
	if since := now.Sub(s.looked); s.options.Directory == "" || (since >= 0 && since < interval) {
		return
	}
	s.looked = now
	connection, err := readConnection(s.options.Directory)
	if err != nil {
		s.options.Log.Error(err, "keeping the store's credentials")
		return
	}
	if connection.fingerprint() == s.current.fingerprint {
		return
	}
	next, err := newSession(s.options, connection)
	if err != nil {
		s.options.Log.Error(err, "keeping the store's credentials")
		return
	}
	s.options.Log.Info("the store's credentials changed and are used from now on")
	s.current.close()
	s.current = next
}

func (s *sessions) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.close()
}
