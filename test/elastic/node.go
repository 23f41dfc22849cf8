package elastic

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"auditquery.dev/auditquery/test/loopback"
	"auditquery.dev/auditquery/test/process"
)

// stopGrace is what a node with open indices needs, and more.
const stopGrace = 30 * time.Second

// Node is one Elasticsearch server of a Cluster. It keeps its ports and its
// data over Kill, Stop and Restart.
type Node struct {
	cluster       *Cluster
	place         *place
	name          string
	httpPort      int
	transportPort int

	mutex   sync.Mutex
	process *process.Process
}

// Name is the node's name within the cluster.
func (n *Node) Name() string { return n.name }

// URL is the node's HTTP address.
func (n *Node) URL() string {
	scheme := "http"
	if n.cluster.security != nil {
		scheme = "https"
	}
	return scheme + "://" + loopback.Address(n.httpPort)
}

// PID is the launcher's process id, and that of the group with the server in
// it; 0 when the node was never started.
func (n *Node) PID() int {
	if p := n.current(); p != nil {
		return p.PID()
	}
	return 0
}

// LogPath is where the server's output goes.
func (n *Node) LogPath() string {
	return filepath.Join(n.place.dir, dirLogs, n.name+".log")
}

// Running tells whether the node has not ended; a paused one has not.
func (n *Node) Running() bool {
	p := n.current()
	if p == nil {
		return false
	}
	select {
	case <-p.Exited():
		return false
	default:
		return true
	}
}

// Kill ends the node at once, as a crash would, and waits until it is gone.
func (n *Node) Kill() error {
	p := n.current()
	if p == nil {
		return nil
	}
	if err := p.Kill(); err != nil {
		return err
	}
	<-p.Exited()
	return nil
}

// Pause stops the node in its tracks: connections stay open and nothing answers.
func (n *Node) Pause() error { return n.signal(syscall.SIGSTOP) }

// Resume lets a paused node go on.
func (n *Node) Resume() error { return n.signal(syscall.SIGCONT) }

// Stop ends the node in order.
func (n *Node) Stop(ctx context.Context) error {
	if p := n.current(); p != nil {
		return p.Stop(ctx)
	}
	return nil
}

// Restart starts the node again, stopping it first if it runs, and waits until
// the cluster has it.
func (n *Node) Restart(ctx context.Context) error {
	if err := n.Stop(ctx); err != nil {
		return err
	}
	if err := n.start(); err != nil {
		return err
	}
	return n.cluster.WaitReady(ctx)
}

func (n *Node) signal(sig syscall.Signal) error {
	p := n.current()
	if p == nil {
		return errors.New(n.name + " was never started")
	}
	return p.Signal(sig)
}

func (n *Node) current() *process.Process {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.process
}

func (n *Node) start() error {
	started, err := process.Start(process.Spec{
		Name:       "elasticsearch " + n.name,
		Path:       filepath.Join(n.place.home, "bin", "elasticsearch"),
		Env:        n.environment(),
		Dir:        n.dir(),
		LogPath:    n.LogPath(),
		Credential: n.place.who.credential(),
		Grace:      stopGrace,
	})
	if err != nil {
		return err
	}
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.process = started
	return nil
}

// environment holds nothing of the user's: the launcher warns of every Java
// variable that it ignores, and obeys others.
func (n *Node) environment() []string {
	heap := n.cluster.options.Heap
	java := append([]string{"-Xms" + heap, "-Xmx" + heap}, n.cluster.options.JavaOptions...)
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + n.dir(),
		"LANG=C.UTF-8",
		"HOSTNAME=localhost",
		"ES_JAVA_HOME=" + n.place.java,
		"ES_PATH_CONF=" + filepath.Join(n.dir(), dirConfig),
		"ES_TMPDIR=" + filepath.Join(n.dir(), dirTemporary),
		"ES_JAVA_OPTS=" + strings.Join(java, " "),
		// The launcher lives as long as the server and does next to nothing.
		"CLI_JAVA_OPTS=-XX:TieredStopAtLevel=1 -XX:-UsePerfData",
	}
}

func (n *Node) dir() string { return filepath.Join(n.place.dir, n.name) }
