// Package elastic runs a real Elasticsearch on this machine: one node or a
// cluster of several, on 127.0.0.1, with security or without.
//
// The server comes from `make elasticsearch`. It is the slim distribution:
// what it lacks (GET / among them) must not be needed. Elasticsearch refuses to
// run as root, so root starts it as nobody; then Dir has to be a directory that
// nobody can reach, or empty.
package elastic

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"auditquery.dev/auditquery/test/loopback"
)

const (
	defaultHeap = "512m"
	// startTimeout bounds Start when ctx has no nearer deadline. A node alone
	// needs 12 s on two free cores.
	startTimeout = 4 * time.Minute
)

// Options say how to run Elasticsearch. The zero value is one node without
// security and with a directory of its own.
type Options struct {
	// Dir holds data, configuration and logs, and is kept. Empty means a
	// temporary directory that Stop removes.
	Dir string
	// Home is the unpacked distribution; empty means what FindHome finds.
	Home string
	// Heap of each node, as the JVM writes it; empty means 512m.
	Heap string
	// JavaOptions are added to those of each node.
	JavaOptions []string
	// Security turns on TLS and users: see Cluster's Username, Password, CAPEM.
	Security bool
	// Nodes is how many; 0 means one.
	Nodes int
	// Settings are added to elasticsearch.yml and win over ours.
	Settings map[string]any
	// Progress is told what is being waited for, in short lines.
	Progress func(string)
}

// Cluster is a running Elasticsearch.
type Cluster struct {
	options   Options
	nodes     []*Node
	external  string
	temporary string
	security  *security
	client    *http.Client
}

// Start starts all nodes and returns when they have formed a cluster. On an
// error nothing is left running.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	c, err := newCluster(options)
	if err != nil {
		return nil, fmt.Errorf("prepare Elasticsearch: %w", err)
	}
	if err := c.start(ctx); err != nil {
		// The error names a log file: that stays.
		return nil, errors.Join(fmt.Errorf("start Elasticsearch: %w", err), c.stopNodes(), c.removeTemporary(true))
	}
	return c, nil
}

func newCluster(options Options) (*Cluster, error) {
	if options.Heap == "" {
		options.Heap = defaultHeap
	}
	if options.Nodes <= 0 {
		options.Nodes = 1
	}
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	c := &Cluster{options: options}
	if options.Security {
		made, err := newSecurity()
		if err != nil {
			return nil, fmt.Errorf("make certificates and users: %w", err)
		}
		c.security = made
	}
	c.client = newClient(c.security)
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	began := time.Now()
	place, err := c.findPlace(ctx)
	if err != nil {
		return err
	}
	if err := c.layOut(place); err != nil {
		return err
	}
	c.options.Progress(fmt.Sprintf("starting Elasticsearch, %d node(s)", len(c.nodes)))
	for _, node := range c.nodes {
		if err := node.start(); err != nil {
			return err
		}
	}
	if err := c.WaitReady(ctx); err != nil {
		return err
	}
	c.options.Progress(fmt.Sprintf("Elasticsearch ready in %s", time.Since(began).Round(100*time.Millisecond)))
	return nil
}

// place is where the server, its Java and its files are, all of them within
// reach of the user that it runs as.
type place struct {
	home string
	java string
	dir  string
	who  *identity
}

func (c *Cluster) findPlace(ctx context.Context) (*place, error) {
	p := &place{who: chooseIdentity()}
	var err error
	if p.java, err = findJava(ctx); err != nil {
		return nil, err
	}
	home := c.options.Home
	if home == "" {
		if home, err = FindHome(); err != nil {
			return nil, err
		}
	}
	if p.dir, err = c.chooseDir(p.who); err != nil {
		return nil, err
	}
	blocked, err := p.who.blockedAt(filepath.Join(p.java, "bin", "java"))
	if err != nil {
		return nil, err
	}
	if blocked != "" {
		return nil, fmt.Errorf("root's Elasticsearch runs as user %d, who cannot reach the JDK %s: %s bars the way",
			p.who.uid, p.java, blocked)
	}
	p.home, err = c.reachableHome(home, p.who)
	return p, err
}

// chooseDir returns Dir or a temporary one, existing and reachable.
func (c *Cluster) chooseDir(who *identity) (string, error) {
	if c.options.Dir == "" {
		return c.makeTemporary(who)
	}
	dir, err := filepath.Abs(c.options.Dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, who.sharedMode()); err != nil {
		return "", err
	}
	blocked, err := who.blockedAt(dir)
	if err != nil {
		return "", err
	}
	if blocked != "" {
		return "", fmt.Errorf("root's Elasticsearch runs as user %d, who cannot reach %s: %s bars the way; "+
			"leave Dir empty, or choose one below /tmp or /var", who.uid, dir, blocked)
	}
	return dir, nil
}

func (c *Cluster) makeTemporary(who *identity) (string, error) {
	if c.temporary != "" {
		return c.temporary, nil
	}
	var err error
	c.temporary, err = who.temporaryDir()
	return c.temporary, err
}

// removeTemporary leaves nothing behind, or only the logs.
func (c *Cluster) removeTemporary(keepLogs bool) error {
	if c.temporary == "" {
		return nil
	}
	entries, err := os.ReadDir(c.temporary)
	if err != nil {
		return err
	}
	var failures []error
	kept := false
	for _, entry := range entries {
		if keepLogs && entry.Name() == dirLogs {
			kept = true
			continue
		}
		failures = append(failures, os.RemoveAll(filepath.Join(c.temporary, entry.Name())))
	}
	if !kept {
		failures = append(failures, os.Remove(c.temporary))
	}
	return errors.Join(failures...)
}

// layOut chooses ports and writes every node's files.
func (c *Cluster) layOut(p *place) error {
	if err := os.MkdirAll(filepath.Join(p.dir, dirLogs), 0o700); err != nil {
		return err
	}
	ports, err := loopback.Ports(2 * c.options.Nodes)
	if err != nil {
		return err
	}
	for i := range c.options.Nodes {
		c.nodes = append(c.nodes, &Node{
			cluster:       c,
			place:         p,
			name:          fmt.Sprintf("node-%d", i+1),
			httpPort:      ports[2*i],
			transportPort: ports[2*i+1],
		})
	}
	for _, node := range c.nodes {
		if err := node.writeFiles(); err != nil {
			return fmt.Errorf("write the files of %s: %w", node.name, err)
		}
	}
	return nil
}

// Stop stops all nodes and removes what was temporary.
func (c *Cluster) Stop() error {
	return errors.Join(c.stopNodes(), c.removeTemporary(false))
}

func (c *Cluster) stopNodes() error {
	stopped := make(chan error, len(c.nodes))
	for _, node := range c.nodes {
		// Together: a node that waits for the others to answer would cost the
		// grace of each. No caller's deadline may cut them short.
		go func() { stopped <- node.Stop(context.Background()) }()
	}
	var failures []error
	for range c.nodes {
		failures = append(failures, <-stopped)
	}
	return errors.Join(failures...)
}

// Nodes are the nodes of a cluster that was started here.
func (c *Cluster) Nodes() []*Node { return c.nodes }
