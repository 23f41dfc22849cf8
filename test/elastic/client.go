package elastic

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"auditquery.dev/auditquery/test/process"
)

const (
	// requestTimeout bounds one request of Do; a paused node answers none.
	requestTimeout = 60 * time.Second
	probeTimeout   = 5 * time.Second
	// answerBytes is more than a test should ever read at once.
	answerBytes = 64 << 20
)

// StatusError is an answer of Elasticsearch that is not a success.
type StatusError struct {
	Method string
	Path   string
	Status int
	Body   string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: %d: %s", e.Method, e.Path, e.Status, e.Body)
}

// URLs are the HTTP addresses of all nodes, running or not.
func (c *Cluster) URLs() []string {
	if c.external != "" {
		return []string{c.external}
	}
	urls := make([]string, 0, len(c.nodes))
	for _, node := range c.nodes {
		urls = append(urls, node.URL())
	}
	return urls
}

// URL is the HTTP address of the first node that runs.
func (c *Cluster) URL() string {
	for _, node := range c.nodes {
		if node.Running() {
			return node.URL()
		}
	}
	return c.URLs()[0]
}

// Username is the superuser's name, empty without security.
func (c *Cluster) Username() string {
	if c.security == nil {
		return ""
	}
	return username
}

// Password is the superuser's, empty without security.
func (c *Cluster) Password() string {
	if c.security == nil {
		return ""
	}
	return c.security.password
}

// CAPEM verifies the nodes, nil without security.
func (c *Cluster) CAPEM() []byte {
	if c.security == nil {
		return nil
	}
	return c.security.ca.CertPEM()
}

// Client trusts the nodes. It authenticates nobody and asks for no compression.
func (c *Cluster) Client() *http.Client { return c.client }

func newClient(s *security) *http.Client {
	transport := &http.Transport{
		DisableCompression:  true,
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     30 * time.Second,
	}
	if s != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: s.ca.Pool(), MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport}
}

// Do sends one request, as the superuser when there is security, to the first
// node that runs, and returns its answer. body may be nil. An answer outside
// 2xx is a *StatusError.
func (c *Cluster) Do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.URL()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.security != nil {
		request.SetBasicAuth(username, c.security.password)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerBytes))
	if err != nil {
		return nil, fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	if response.StatusCode/100 != 2 {
		return nil, &StatusError{Method: method, Path: path, Status: response.StatusCode, Body: string(answer)}
	}
	return answer, nil
}

// CreateAPIKey makes an API key with the role descriptors given in JSON (empty:
// all that the superuser may) and returns it as the Authorization header has it
// after "ApiKey ".
func (c *Cluster) CreateAPIKey(ctx context.Context, name string, roleDescriptors json.RawMessage) (string, error) {
	request := map[string]any{"name": name}
	if len(roleDescriptors) > 0 {
		request["role_descriptors"] = roleDescriptors
	}
	body, err := json.Marshal(request)
	if err != nil {
		return "", err
	}
	answer, err := c.Do(ctx, http.MethodPost, "/_security/api_key", body)
	if err != nil {
		return "", err
	}
	var made struct {
		Encoded string `json:"encoded"`
	}
	if err := json.Unmarshal(answer, &made); err != nil {
		return "", fmt.Errorf("read the new API key: %w", err)
	}
	return made.Encoded, nil
}

// WaitReady returns when every node that runs is in the cluster and no primary
// shard is missing.
func (c *Cluster) WaitReady(ctx context.Context) error {
	watched, running := c.running()
	if watched == nil {
		return errors.New("no node runs")
	}
	return watched.WaitUntil(ctx, "Elasticsearch is ready", func(ctx context.Context) error {
		for _, node := range c.nodes {
			if p := node.current(); p != nil && !node.Running() && running == len(c.nodes) {
				return p.Err()
			}
		}
		return c.healthy(ctx, running)
	})
}

func (c *Cluster) running() (first *process.Process, count int) {
	for _, node := range c.nodes {
		if !node.Running() {
			continue
		}
		if first == nil {
			first = node.current()
		}
		count++
	}
	return first, count
}

func (c *Cluster) healthy(ctx context.Context, nodes int) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	answer, err := c.Do(ctx, http.MethodGet, "/_cluster/health?timeout=1s", nil)
	if err != nil {
		return err
	}
	var health struct {
		Status string `json:"status"`
		Nodes  int    `json:"number_of_nodes"`
	}
	if err := json.Unmarshal(answer, &health); err != nil {
		return fmt.Errorf("read the cluster's health: %w", err)
	}
	if health.Nodes < nodes || health.Status == "red" {
		return fmt.Errorf("%d of %d nodes, status %s", health.Nodes, nodes, health.Status)
	}
	return nil
}
