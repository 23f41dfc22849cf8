package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"auditquery.dev/auditquery/test/loopback"
)

// samples are a page of Prometheus metrics: name and labels as written, value.
type samples map[string]float64

func (o *operator) scrape(ctx context.Context) (samples, error) {
	return scrapeFrom(ctx, "http://"+loopback.Address(o.ports.metrics)+"/metrics")
}

func scrapeFrom(ctx context.Context, url string) (samples, error) {
	text, err := fetch(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("read the server's metrics: %w", err)
	}
	found := samples{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("read the server's metrics: %q: %w", line, err)
		}
		found[line[:at]] = value
	}
	return found, nil
}

// sum adds the samples of a name that have all of some labels.
func (s samples) sum(name string, labels ...string) float64 {
	var sum float64
next:
	for key, value := range s {
		if key != name && !strings.HasPrefix(key, name+"{") {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(key, label) {
				continue next
			}
		}
		sum += value
	}
	return sum
}

// awaitRuns waits until there were so many.
func (o *operator) awaitRuns(ctx context.Context, want float64) error {
	const patience = 3 * queryInterval
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return o.server.WaitUntil(ctx, fmt.Sprintf("%.0f queries have run", want), func(ctx context.Context) error {
		now, err := o.scrape(ctx)
		if err != nil {
			return err
		}
		ran := now.sum("auditquery_runs_total")
		o.bench.progress.at("runs", int(ran), int(want))
		if ran < want {
			return fmt.Errorf("there were %.0f runs", ran)
		}
		return nil
	})
}

// ticksPerSecond is what Linux counts CPU time in, on every architecture.
const ticksPerSecond = 100

// cpuTime is what a process has used so far.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	used, _, err := parseStat(text)
	return used, err
}

// groupCPUTime is what the processes of a group that live have used so far.
func groupCPUTime(group int) (time.Duration, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var all time.Duration
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil { // it has ended meanwhile
			continue
		}
		if used, of, err := parseStat(text); err == nil && of == group {
			all += used
		}
	}
	return all, nil
}

// parseStat reads what a process has used, and its group, from its stat.
func parseStat(text []byte) (used time.Duration, group int, err error) {
	// The program's name, in brackets, may hold anything, brackets too.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const groupAt, user, system = 2, 11, 12
	if len(fields) <= system {
		return 0, 0, errors.New("the stat of a process has another form than expected")
	}
	if group, err = strconv.Atoi(fields[groupAt]); err != nil {
		return 0, 0, err
	}
	var ticks int64
	for _, field := range []string{fields[user], fields[system]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, group, nil
}

func residentBytes(pid int) (int64, error) { return statusBytes(pid, "VmRSS") }

// peakBytes is the most that was ever resident.
func peakBytes(pid int) (int64, error) { return statusBytes(pid, "VmHWM") }

func statusBytes(pid int, name string) (int64, error) {
	text := strings.TrimSuffix(lineOf(fmt.Sprintf("/proc/%d/status", pid), name), " kB")
	kB, err := strconv.ParseInt(text, 10, 64)
	return kB << 10, err
}

// gitVersion reads what kube-apiserver calls itself.
func gitVersion(answer string) string {
	var v struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := json.Unmarshal([]byte(answer), &v); err != nil {
		return "unknown"
	}
	return v.GitVersion
}

func readAll(r io.Reader) ([]byte, error) {
	const most = 16 << 20
	return io.ReadAll(io.LimitReader(r, most))
}
