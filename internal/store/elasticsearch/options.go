package elasticsearch

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/go-logr/logr"
)

// Defaults of Options.
const (
	DefaultIndexPrefix     = "auditquery"
	DefaultShards          = 1
	DefaultRefreshInterval = time.Second
	DefaultMaxRetries      = 3
	DefaultBulkRequests    = 2
	DefaultRequestTimeout  = 30 * time.Second
	// longestRequestTimeout keeps our answer ahead of the 60 s after which
	// API servers cut requests off.
	longestRequestTimeout = 55 * time.Second
)

// Options say where Elasticsearch is and how indices are made.
type Options struct {
	// Directory holds the files url, username, password, api-key and ca.crt
	// (all but url may be missing), as a Kubernetes Secret for an external
	// cluster does. They are read again when they change.
	Directory string
	// Connection is used when Directory is empty.
	Connection Connection

	// IndexPrefix begins the names of all our indices and templates.
	IndexPrefix string
	// Period is how long a new index lasts.
	Period Period
	// Shards is the number of primary shards of a new index.
	Shards int
	// Replicas of a new index; nil is one where the cluster has two nodes.
	Replicas *int
	// RefreshInterval is how long a stored record may stay unseen, at least
	// a millisecond.
	RefreshInterval time.Duration

	// MaxRetries is how often a request is sent again after 429, 502, 503,
	// 504 or a broken connection; negative for never.
	MaxRetries int
	// BulkRequests is how many bulk requests of this process may be under way
	// at once. A writer beyond it gets its records ready meanwhile, so that
	// Elasticsearch never waits for that.
	BulkRequests int
	// RequestTimeout bounds a request with its repetitions.
	RequestTimeout time.Duration
	// Compress sends and asks for gzip: for slow links, it costs 3 ms a page.
	Compress bool

	// Clock is time.Now if nil.
	Clock func() time.Time
	// Log is silent if not set.
	Log logr.Logger

	// transport replaces the network in tests.
	transport http.RoundTripper
}

// Connection is how to reach Elasticsearch.
type Connection struct {
	// URLs are tried in turn; those that fail are rested. No credentials.
	URLs []string
	// Username and Password, or APIKey: its encoded form or id:key.
	Username, Password, APIKey string
	// CA is PEM; empty uses the system's.
	CA []byte
}

// complete fills in defaults and refuses what can't work.
func (o Options) complete() (Options, error) {
	if o.IndexPrefix == "" {
		o.IndexPrefix = DefaultIndexPrefix
	}
	if o.Shards == 0 {
		o.Shards = DefaultShards
	}
	if o.RefreshInterval == 0 {
		o.RefreshInterval = DefaultRefreshInterval
	}
	if o.BulkRequests <= 0 {
		o.BulkRequests = DefaultBulkRequests
	}
	if o.MaxRetries == 0 {
		o.MaxRetries = DefaultMaxRetries
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = DefaultRequestTimeout
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	switch {
	case !regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`).MatchString(o.IndexPrefix):
		return o, fmt.Errorf("elasticsearch: the index prefix %q is not 1 to 64 lower-case letters, digits, - or _, "+
			"beginning with a letter", clip(o.IndexPrefix))
	case o.Shards < 1 || o.Shards > 64:
		return o, fmt.Errorf("elasticsearch: %d shards are not between 1 and 64", o.Shards)
	case o.Replicas != nil && *o.Replicas < 0:
		return o, fmt.Errorf("elasticsearch: %d replicas are less than none", *o.Replicas)
	case o.RefreshInterval < time.Millisecond:
		return o, fmt.Errorf("elasticsearch: the refresh interval %s is shorter than 1ms", o.RefreshInterval)
	case o.RequestTimeout < 0 || o.RequestTimeout > longestRequestTimeout:
		return o, fmt.Errorf("elasticsearch: the request timeout %s is longer than %s", o.RequestTimeout, longestRequestTimeout)
	}
	return o, nil
}

// urls parses the addresses. Errors never quote them.
func (c Connection) urls() ([]*url.URL, error) {
	if len(c.URLs) == 0 {
		return nil, fmt.Errorf("elasticsearch: no URL is given")
	}
	urls := make([]*url.URL, 0, len(c.URLs))
	for i, text := range c.URLs {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
			return nil, fmt.Errorf("elasticsearch: URL %d is not of the form https://host:port", i+1)
		case u.User != nil:
			return nil, fmt.Errorf("elasticsearch: URL %d holds credentials; give them apart from it", i+1)
		}
		urls = append(urls, u)
	}
	return urls, nil
}
