package elastic_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/elastic"
)

func put(t *testing.T, c *elastic.Cluster, index string) {
	t.Helper()
	path := "/" + index + "/_doc/1?refresh=true"
	if _, err := c.Do(t.Context(), http.MethodPut, path, []byte(`{"user_id": "alice"}`)); err != nil {
		t.Fatal(err)
	}
}

// count searches for what put wrote.
func count(t *testing.T, c *elastic.Cluster, index string) int {
	t.Helper()
	answer, err := c.Do(t.Context(), http.MethodPost, "/"+index+"/_search",
		[]byte(`{"query": {"match": {"user_id": "alice"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	var result struct {
		Hits struct {
			Total struct {
				Value int `json:"value"`
			} `json:"total"`
		} `json:"hits"`
	}
	if err := json.Unmarshal(answer, &result); err != nil {
		t.Fatal(err)
	}
	return result.Hits.Total.Value
}

// reachableDir is what t.TempDir is not: a directory that the user of
// Elasticsearch can pass.
func reachableDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "auditquery-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// status asks with the Authorization header given.
func status(t *testing.T, c *elastic.Cluster, path, authorization string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := c.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// members are the processes in the group.
func members(t *testing.T, group int) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			// It has ended since.
			continue
		}
		// After the name, which may hold anything: state, parent, group.
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 2 && fields[2] == strconv.Itoa(group) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	await.True(t, fmt.Sprintf("process %d is gone", pid), func() bool { return gone(pid) })
}
