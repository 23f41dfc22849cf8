package senders_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"auditquery.dev/auditquery/test/receiver"
	"auditquery.dev/auditquery/test/sender"
)

const (
	// slowSenders send one byte a second each.
	slowSenders = 200
	// slowTime is shorter than any request may take, so that none of them is sent
	// away meanwhile; slowSoak is long enough that each is, twice.
	slowTime = 12 * time.Second
	slowSoak = time.Minute
	// goodRate is what the good sender sends, in events a second.
	goodRate = 1000
	// goodLatency is far below what a sender would wait for.
	goodLatency = 5 * time.Second
	// memory is what a receiver may have at any time.
	memory = 256 << 20
)

// TestSlowSenders keeps many senders that hardly move on every way in, and looks at
// what a good one is told meanwhile.
func TestSlowSenders(t *testing.T) {
	length := slowTime
	if soak() {
		length = slowSoak
	}
	r := startReceiver(t, "slow", "--ingest-client-orgs="+cluster+"=*")
	crowd := newCrowd(t, r)
	crowd.dial(t)
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	moving := make(chan error, 1)
	go func() { moving <- crowd.move(ctx) }()

	client, err := r.Client(cluster)
	if err != nil {
		t.Fatal(err)
	}
	load, err := sender.Start(t.Context(), sender.Options{URL: r.URL(), Client: client, Rate: goodRate, Source: sender.Events{
		Run: "900d", Cluster: cluster, OwnCluster: cluster, Start: time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(load.Abort)
	if err := <-moving; err != nil {
		t.Fatal(err)
	}
	load.Stop()
	if err := load.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if open := crowd.open(t); !soak() && open != slowSenders {
		t.Errorf("%d of %d slow senders were still sending in the end", open, slowSenders)
	}
	crowd.close()

	counts, latencies := load.Counts(), load.Latencies()
	if counts.Answers[http.StatusOK] != counts.Requests || counts.Broken != 0 {
		t.Errorf("the good sender was not always let in: %s", counts)
	}
	if least := int(length.Seconds()) * goodRate / 2; counts.Acknowledged < least {
		t.Errorf("%d events of the good sender were acknowledged in %s, want %d at least", counts.Acknowledged, length, least)
	}
	if slowest := latencies[len(latencies)-1]; slowest > goodLatency {
		t.Errorf("the good sender once waited for %s", slowest)
	}
	if peak := peakMemory(t, r.Process().PID()); peak > memory {
		t.Errorf("the receiver took %d MiB", peak>>20)
	}
	counted := drained(t, r, "slow")
	if report, err := sender.Verify(t.Context(), openStore(t, "slow"), load.Run()); err != nil || report.Err() != nil {
		t.Error(err, report.Err())
	}
	t.Logf("%s; the median took %s, the slowest %s; %+v", counts, latencies[len(latencies)/2], latencies[len(latencies)-1], counted)
}

// crowd are many connections whose requests go on and on.
type crowd struct {
	address string
	config  *tls.Config
	members []*straggler
}

// straggler is one of them.
type straggler struct {
	path, contentType string
	body              []byte
	connection        net.Conn
	sent              int
}

func newCrowd(t *testing.T, r *receiver.Receiver) *crowd {
	t.Helper()
	config, err := r.TLSConfig(cluster)
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{address: strings.TrimPrefix(r.URL(), "https://"), config: config}
	const length = 10_000
	padding := strings.Repeat("x", length)
	for i := range slowSenders {
		m := &straggler{path: kubernetesPath(cluster), contentType: typeJSON,
			body: []byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{"level":"` + padding)}
		switch i % 4 {
		case 2:
			m.path, m.body = bulkPath, []byte(`{"events":[{"unique_id":"`+padding)
		case 3:
			m.path, m.contentType, m.body = recordsPath, typeLines, []byte(`{"kind":"Audit","description":"`+padding)
		}
		c.members = append(c.members, m)
	}
	t.Cleanup(c.close)
	return c
}

// dial connects all who are not.
func (c *crowd) dial(t *testing.T) {
	t.Helper()
	for _, m := range c.members {
		if err := c.connect(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *crowd) connect(ctx context.Context, m *straggler) error {
	dialer := tls.Dialer{Config: c.config}
	connection, err := dialer.DialContext(ctx, "tcp", c.address)
	if err != nil {
		return fmt.Errorf("a slow sender was kept out: %w", err)
	}
	m.connection, m.sent = connection, 0
	_, err = fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n",
		m.path, m.contentType, len(m.body))
	return err
}

// move has each send a byte a second, and come again when it was sent away.
func (c *crowd) move(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		for _, m := range c.members {
			if _, err := m.connection.Write(m.body[m.sent : m.sent+1]); err == nil {
				m.sent++
				continue
			}
			_ = m.connection.Close()
			if err := c.connect(ctx, m); err != nil && ctx.Err() == nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// open counts those that nobody answered yet.
func (c *crowd) open(t *testing.T) int {
	t.Helper()
	open := 0
	for _, m := range c.members {
		if err := m.connection.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			continue
		}
		var timeout net.Error
		if _, err := m.connection.Read(make([]byte, 1)); errors.As(err, &timeout) && timeout.Timeout() {
			open++
		}
	}
	return open
}

func (c *crowd) close() {
	for _, m := range c.members {
		if m.connection != nil {
			_ = m.connection.Close()
		}
	}
}

// peakMemory is the most that a process had resident, in bytes; 0 where that cannot
// be known.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if errors.Is(err, os.ErrNotExist) {
		t.Log("the receiver's memory cannot be measured here")
		return 0
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if err != nil || found == nil {
		t.Fatalf("%v: %s", err, status)
	}
	kilobytes, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}
