package rules_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"auditquery.dev/auditquery/test/stage"
)

const (
	concurrentLists = 200
	// mostMemory bounds what the server has resident at any time, in bytes.
	mostMemory = 400 << 20
)

func TestManyListsAtOnceTakeLittleMemoryAndDoNotFail(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("what a process has resident is read from /proc")
	}
	w := theWorld(t)
	w.claimed(t, "crowd")
	if err := w.Append(t.Context(), audits("crowd", "thing", 0, 600, at)...); err != nil {
		t.Fatal(err)
	}
	server := w.extra(t, stage.ServerOptions{Name: "crowded", Role: stage.RoleAPIServer})
	user := mustClient(t, server.Config(w.reader(t, "crowd")))
	records := namespaced(recordsPath, "crowd", "audits", append(inWindow(""), "limit", "500")...)
	original := ownPath + "/audits" + encoded([]string{"org_id", "crowd", "dt_from", windowFrom})
	seen(t, way{client: user, path: original, records: 500})
	cases := map[string]way{
		"lists":          {user, records, "", 500},
		"tables":         {user, records, asTable, 500},
		"original lists": {user, original, "", 500},
	}
	for name, y := range cases {
		t.Run(name, func(t *testing.T) {
			forgetPeak(t, server)
			var asked sync.WaitGroup
			for range concurrentLists {
				asked.Go(func() {
					if err := y.good(y.ask(t.Context())); err != nil {
						t.Error(err)
					}
				})
			}
			asked.Wait()
			most := peak(t, server)
			if most > mostMemory {
				t.Errorf("%d MiB were resident", most>>20)
			}
			t.Logf("at most %d MiB were resident", most>>20)
		})
	}
}

// forgetPeak has the kernel measure a process's peak anew.
func forgetPeak(t *testing.T, server *stage.Server) {
	t.Helper()
	const peakOnly = "5"
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", server.Process().PID()), []byte(peakOnly), 0); err != nil {
		t.Logf("the peak since the server's start is what is measured: %v", err)
	}
}

// peak is the most that a process had resident, in bytes.
func peak(t *testing.T, server *stage.Server) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", server.Process().PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if !found || len(fields) < 2 || fields[1] != "kB" {
		t.Fatalf("no peak in\n%s", status)
	}
	kibibytes, err := strconv.Atoi(fields[0])
	if err != nil {
		t.Fatal(err)
	}
	return kibibytes << 10
}
