package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// machine is what the figures were taken on.
type machine struct {
	CPU    string
	Cores  int
	Memory string
	// Fsync is how long the disk takes to keep 4 KiB.
	Fsync string
	// Load is the load average before anything was started.
	Load   string
	System string
}

func describeMachine(dir string) machine {
	m := machine{
		CPU: lineOf("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Memory: "unknown", Fsync: "unknown", Load: "unknown",
		System: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if kB, err := strconv.Atoi(strings.TrimSuffix(lineOf("/proc/meminfo", "MemTotal"), " kB")); err == nil {
		m.Memory = fmt.Sprintf("%d GiB", (kB+1<<19)>>20)
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	if latency, err := fsyncLatency(dir); err == nil {
		m.Fsync = fmt.Sprintf("%.2f ms", float64(latency)/float64(time.Millisecond))
	}
	return m
}

// lineOf returns the first value of a name in a file of lines "name : value".
func lineOf(path, name string) string {
	const unknown = "unknown"
	file, err := os.Open(path)
	if err != nil {
		return unknown
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return unknown
}

func fsyncLatency(dir string) (time.Duration, error) {
	file, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}()
	var times []time.Duration
	block := make([]byte, 4<<10)
	for range 100 {
		if _, err := file.Write(block); err != nil {
			return 0, err
		}
		began := time.Now()
		if err := file.Sync(); err != nil {
			return 0, err
		}
		times = append(times, time.Since(began))
	}
	return percentile(times, 50), nil
}

// version is what one of the parts calls itself.
type version struct{ Name, Version string }

// versions lists what was measured and what it was measured with.
func (b *bench) versions() []version {
	found := []version{{"Go", strings.TrimPrefix(runtime.Version(), "go")}}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			switch dep.Path {
			case "modernc.org/sqlite", "github.com/elastic/go-elasticsearch/v8", "sigs.k8s.io/controller-runtime", "github.com/go-json-experiment/json":
				found = append(found, version{dep.Path, dep.Version})
			}
		}
	}
	if b.elasticsearch != "" {
		found = append(found, version{"Elasticsearch", b.elasticsearch})
	}
	if b.kubernetes != "" {
		found = append(found, version{"Kubernetes", b.kubernetes})
	}
	return found
}

func (b *bench) elasticsearchVersion(ctx context.Context) string {
	answer, err := b.cluster.Do(ctx, http.MethodGet, "/_nodes/_local?filter_path=nodes.*.version", nil)
	if err != nil {
		return "unknown"
	}
	var nodes struct {
		Nodes map[string]struct {
			Version string `json:"version"`
		} `json:"nodes"`
	}
	if err := json.Unmarshal(answer, &nodes); err != nil {
		return "unknown"
	}
	for _, node := range nodes.Nodes {
		return node.Version
	}
	return "unknown"
}

// commit names the source that was measured.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
