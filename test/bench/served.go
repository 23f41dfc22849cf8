package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/test/repository"
	"auditquery.dev/auditquery/test/stage"
)

// readerRole lets its subjects read every record.
const readerRole = "auditquery-cluster-reader"

// startStage starts a cluster in which servers of ours are added as a figure needs
// them. The file of its embedded store is the one with all records.
func (b *bench) startStage(ctx context.Context) error {
	if b.stage != nil {
		return nil
	}
	root, err := repository.Root()
	if err != nil {
		return err
	}
	binary, err := b.settings.program(root)
	if err != nil {
		return err
	}
	dir := b.path("stage")
	// What a former run left with -dir would be another cluster.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	s, err := stage.New(stage.Options{
		Dir: dir, Cluster: benchCluster, Binary: binary,
		Servers:  []stage.ServerOptions{{Name: serverOnSQLite, Args: b.profilingArgs()}},
		Progress: func(line string) { b.progress.step("%s", line) },
	})
	if err != nil {
		return err
	}
	b.stage = s
	for _, step := range []func(context.Context) error{s.StartControlPlane, s.Install} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	stdout, _, err := s.ControlPlane().Kubectl(ctx, "get", "--raw", "/version")
	if err == nil {
		b.kubernetes = gitVersion(stdout)
	}
	return err
}

// Names of servers.
const (
	serverOnSQLite        = "on-sqlite"
	serverOnElasticsearch = "on-elasticsearch"
	serverBehindDelay     = "behind-a-delay"
)

// program is the server: the one that was given, or what `make build` makes.
func (s settings) program(root string) (string, error) {
	path := s.server
	if path == "" {
		path = filepath.Join(root, "bin", "auditquery")
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: run `make build`", err)
	}
	return path, nil
}

func (b *bench) stopStage() error {
	if b.stage == nil {
		return nil
	}
	s := b.stage
	b.stage, b.reading, b.copied = nil, nil, false
	return s.Stop()
}

// addServer starts an API server on the records in Elasticsearch, which it reaches
// at a URL.
func (b *bench) addServer(ctx context.Context, name, url string) (*stage.Server, error) {
	server, err := b.stage.AddServer(stage.ServerOptions{
		Name: name, Role: stage.RoleAPIServer, ElasticsearchURL: url,
		Args: append(b.profilingArgs(), "--elasticsearch-index-prefix="+indexPrefix),
	})
	if err != nil {
		return nil, err
	}
	if err := server.Start(ctx); err != nil {
		return nil, err
	}
	return server, nil
}

// ownServer is one on Elasticsearch that figures share.
func (b *bench) ownServer(ctx context.Context) (*stage.Server, error) {
	for _, server := range b.stage.Servers() {
		if server.Name() == serverOnElasticsearch {
			return server, nil
		}
	}
	return b.addServer(ctx, serverOnElasticsearch, b.cluster.URL())
}

// reader is how a ServiceAccount that may read every record reaches the cluster.
func (b *bench) reader(ctx context.Context, account string) (*rest.Config, error) {
	if known, ok := b.reading[account]; ok {
		return known, nil
	}
	config, err := b.stage.TokenConfig(ctx, stage.SystemNamespace, account)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(b.stage.ControlPlane().RESTConfig())
	if err != nil {
		return nil, err
	}
	for _, role := range []string{readerRole, "view"} {
		_, err = client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: account + "-" + role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: stage.SystemNamespace, Name: account}},
		}, metav1.CreateOptions{})
		if err != nil {
			return nil, err
		}
	}
	if b.reading == nil {
		b.reading = map[string]*rest.Config{}
	}
	b.reading[account] = config
	return config, nil
}

// caller asks a server by plain HTTP, as whom its token names. Connections are
// kept alive, and answers are read to their end and not looked at.
type caller struct {
	client *http.Client
	url    string
	token  string
	// gzip leaves Accept-Encoding to net/http. Without, identity is said and not
	// left open: the kube-apiserver asks an aggregated server for gzip on behalf
	// of those who name nothing, and unpacks it for them.
	gzip bool
}

// transport says how a caller speaks.
type transport struct {
	// gzip has it ask for gzip, and unpack what comes, as Go does by itself.
	gzip bool
	// http2 has it speak HTTP/2, as Kubernetes clients do.
	http2 bool
	// connections are kept open; those beyond are closed after each answer.
	connections int
}

func newCaller(config *rest.Config, t transport) (*caller, error) {
	tls, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	return &caller{url: config.Host, token: config.BearerToken, gzip: t.gzip, client: &http.Client{Transport: &http.Transport{
		TLSClientConfig: tls, DisableCompression: !t.gzip, ForceAttemptHTTP2: t.http2, MaxIdleConnsPerHost: max(t.connections, 1),
	}}}, nil
}

func (c *caller) close() { c.client.CloseIdleConnections() }

// open sends a request and returns an answer that is 200.
func (c *caller) open(ctx context.Context, uri string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+uri, http.NoBody)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	if !c.gzip {
		request.Header.Set("Accept-Encoding", identity)
	}
	request.Header.Set("Accept", "application/json")
	response, err := c.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		text, err := readAll(response.Body)
		return nil, errors.Join(fmt.Errorf("%s was answered %s: %.300s", request.URL.Path, response.Status, text), err, response.Body.Close())
	}
	return response, nil
}
