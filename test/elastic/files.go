package elastic

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"auditquery.dev/auditquery/test/loopback"
)

const (
	dirLogs      = "logs"
	dirConfig    = "config"
	dirData      = "data"
	dirTemporary = "tmp"
	dirCrashes   = "crashes"
)

// logging has everything in one place, the process's log file.
const logging = `status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] [%node_name]%marker %m%consoleException%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
`

// writeFiles makes the node's directories and its configuration, all of them
// the server's own: it adds a keystore to its configuration by itself.
func (n *Node) writeFiles() error {
	for _, sub := range []string{"", dirConfig, dirData, dirTemporary, dirCrashes} {
		dir := filepath.Join(n.dir(), sub)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := n.place.who.own(dir); err != nil {
			return err
		}
	}
	files, err := n.files()
	if err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(n.dir(), dirConfig, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
		if err := n.place.who.own(path); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) files() (map[string][]byte, error) {
	settings, err := json.MarshalIndent(n.settings(), "", "  ")
	if err != nil {
		return nil, err
	}
	jvm, err := n.jvmOptions()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		// JSON is YAML.
		"elasticsearch.yml": settings,
		"jvm.options":       jvm,
		"log4j2.properties": []byte(logging),
	}
	if n.cluster.security != nil {
		maps.Copy(files, n.cluster.security.files())
	}
	return files, nil
}

func (n *Node) settings() map[string]any {
	settings := map[string]any{
		"cluster.name":   "auditquery-local",
		"node.name":      n.name,
		"path.data":      filepath.Join(n.dir(), dirData),
		"path.logs":      filepath.Join(n.dir(), dirCrashes),
		"network.host":   "127.0.0.1",
		"http.port":      n.httpPort,
		"transport.port": n.transportPort,
		// A disk that is 90% full is no reason to refuse a test's shards.
		"cluster.routing.allocation.disk.threshold_enabled": false,
		"action.destructive_requires_name":                  false,
		"xpack.security.enabled":                            n.cluster.security != nil,
		"xpack.security.autoconfiguration.enabled":          false,
		"xpack.security.enrollment.enabled":                 false,
	}
	if len(n.cluster.nodes) == 1 {
		settings["discovery.type"] = "single-node"
	} else {
		var seeds, names []string
		for _, node := range n.cluster.nodes {
			seeds = append(seeds, loopback.Address(node.transportPort))
			names = append(names, node.name)
		}
		settings["discovery.seed_hosts"] = seeds
		settings["cluster.initial_master_nodes"] = names
	}
	if n.cluster.security != nil {
		maps.Copy(settings, n.cluster.security.settings())
	}
	maps.Copy(settings, n.cluster.options.Settings)
	return settings
}

// jvmOptions are the distribution's, without those that write gigabytes of
// garbage collection logs and heap dumps.
func (n *Node) jvmOptions() ([]byte, error) {
	shipped, err := os.ReadFile(filepath.Join(n.place.home, "config", "jvm.options"))
	if err != nil {
		return nil, err
	}
	var kept strings.Builder
	for line := range strings.Lines(string(shipped)) {
		if strings.Contains(line, "-Xlog:gc") || strings.Contains(line, "HeapDump") || strings.Contains(line, "ErrorFile") {
			continue
		}
		kept.WriteString(line)
	}
	crashes := filepath.Join(n.dir(), dirCrashes, "hs_err_%p.log")
	fmt.Fprintf(&kept, "\n-XX:ErrorFile=%s\n-XX:-UsePerfData\n", crashes)
	return []byte(kept.String()), nil
}
