package ingest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// recheckFiles is how often the files are looked at, at most: once in this time
// and only when somebody connects.
const recheckFiles = time.Second

// TLSFiles names the files of a server.
type TLSFiles struct {
	// Cert and Key are the server's own, in PEM.
	Cert, Key string
	// ClientCA are the authorities that sign clients' certificates, in PEM.
	// Empty means that no client's certificate counts.
	ClientCA string
}

// reloadingTLS reads the files again when they change, as mounted Secrets do
// when certificates are renewed. While new files are unreadable, or a
// certificate is there before its key, the old ones stay in use.
type reloadingTLS struct {
	files TLSFiles
	now   func() time.Time
	log   logr.Logger

	mutex   sync.Mutex
	config  *tls.Config
	state   [3]fileState
	checked time.Time
	failed  bool
}

type fileState struct {
	modified time.Time
	size     int64
}

// newReloadingTLS reads the files a first time.
func newReloadingTLS(files TLSFiles, now func() time.Time, log logr.Logger) (*reloadingTLS, error) {
	r := &reloadingTLS{files: files, now: now, log: log}
	state, err := r.stat()
	if err != nil {
		return nil, err
	}
	if r.config, err = r.load(); err != nil {
		return nil, err
	}
	r.state, r.checked = state, now()
	return r, nil
}

// serverConfig is what a listener is made with.
func (r *reloadingTLS) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return r.current(), nil
		},
	}
}

func (r *reloadingTLS) current() *tls.Config {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	now := r.now()
	if now.Sub(r.checked) < recheckFiles {
		return r.config
	}
	r.checked = now
	state, err := r.stat()
	if err == nil && state == r.state && !r.failed {
		return r.config
	}
	var config *tls.Config
	if err == nil {
		config, err = r.load()
	}
	if err != nil {
		if !r.failed {
			r.log.Error(err, "cannot read the renewed TLS files, the earlier ones stay in use")
		}
		r.failed = true
		return r.config
	}
	r.log.Info("TLS files were read again")
	r.config, r.state, r.failed = config, state, false
	return r.config
}

func (r *reloadingTLS) stat() ([3]fileState, error) {
	var state [3]fileState
	for i, path := range []string{r.files.Cert, r.files.Key, r.files.ClientCA} {
		if path == "" && i == 2 {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return state, err
		}
		state[i] = fileState{modified: info.ModTime(), size: info.Size()}
	}
	return state, nil
}

func (r *reloadingTLS) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(r.files.Cert, r.files.Key)
	if err != nil {
		return nil, fmt.Errorf("read the server's certificate %s and key %s: %w", r.files.Cert, r.files.Key, err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
		Certificates: []tls.Certificate{pair},
	}
	if r.files.ClientCA == "" {
		return config, nil
	}
	bundle, err := os.ReadFile(r.files.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("read the clients' authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("read the clients' authorities: %w",
			errors.New(r.files.ClientCA+" holds no certificate in PEM"))
	}
	// One that is shown must be good; whoever shows none may have a token.
	config.ClientAuth, config.ClientCAs = tls.VerifyClientCertIfGiven, pool
	return config, nil
}
