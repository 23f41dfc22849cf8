package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"time"

	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/test/loopback"
	"auditquery.dev/auditquery/test/process"
	"auditquery.dev/auditquery/test/stage"
)

const (
	// idleServers of each kind are started, in turn.
	idleServers = 3
	// idleFor is how long after its start a server's memory is read.
	idleFor = time.Minute
	// probeEvery is how finely a start is timed.
	probeEvery = 5 * time.Millisecond
	nowhere    = "http://127.0.0.1:9" // an Elasticsearch that nobody asks
)

// idle measures what a server takes that was asked for nothing yet, beside the
// least that such a server can be, and how long it takes to start.
func idle(ctx context.Context, b *bench) (figures []figure, err error) {
	if err := b.startStage(ctx); err != nil {
		return nil, err
	}
	b.progress.step("building a minimal API server")
	minimal, err := b.buildMinimal(ctx)
	if err != nil {
		return nil, err
	}
	ours, least := &idleSide{name: "auditquery apiserver"}, &idleSide{name: "minimal"}
	defer func() { err = errors.Join(err, ours.stop(), least.stop()) }()
	for i := range idleServers {
		b.progress.step("starting an idle server of each kind, %d of %d", i+1, idleServers)
		if err := errors.Join(b.startIdle(ctx, ours, i), b.startMinimal(ctx, least, minimal, i)); err != nil {
			return nil, err
		}
	}
	b.progress.step("waiting until they have been idle for %s", idleFor)
	for i := range idleServers {
		if err := errors.Join(ours.weigh(ctx, i), least.weigh(ctx, i)); err != nil {
			return nil, err
		}
	}
	over, under := ours.resident(), least.resident()
	return []figure{
		{
			Name: fmt.Sprintf("idle RSS %s after the start ÷ a minimal k8s.io/apiserver's", idleFor), Bound: 1.3,
			Value:   float64(over) / float64(under),
			Medians: fmt.Sprintf("%s %.1f MB; %s %.1f MB", ours.name, megabytes(over), least.name, megabytes(under)),
		},
		{
			Name: "from start to serving (/readyz is 200)", Bound: 2, Unit: "s", Value: percentile(ours.starts, 50).Seconds(),
			Medians: fmt.Sprintf("%s %s…%s; %s %s", ours.name, milliseconds(percentile(ours.starts, 0)), milliseconds(percentile(ours.starts, 100)),
				least.name, milliseconds(percentile(least.starts, 50))),
		},
	}, nil
}

func megabytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// idleSide are servers of one kind.
type idleSide struct {
	name      string
	processes []*process.Process
	began     []time.Time
	starts    []time.Duration
	residents []time.Duration // in bytes: percentile is for these
}

func (s *idleSide) resident() int64 { return int64(percentile(s.residents, 50)) }

func (s *idleSide) started(ctx context.Context, p *process.Process, began time.Time, client *http.Client, url string) error {
	s.processes, s.began = append(s.processes, p), append(s.began, began)
	for {
		if answered(ctx, client, url+"/readyz") {
			s.starts = append(s.starts, time.Since(began))
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.Exited():
			return p.Err()
		case <-time.After(probeEvery):
		}
	}
}

func answered(ctx context.Context, client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_, err = readAll(response.Body)
	return errors.Join(err, response.Body.Close()) == nil && response.StatusCode == http.StatusOK
}

// weigh reads a server's memory when it is time.
func (s *idleSide) weigh(ctx context.Context, i int) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.processes[i].Exited():
		return s.processes[i].Err()
	case <-time.After(time.Until(s.began[i].Add(idleFor))):
	}
	bytes, err := residentBytes(s.processes[i].PID())
	s.residents = append(s.residents, time.Duration(bytes))
	return err
}

func (s *idleSide) stop() error {
	var failures []error
	for _, p := range s.processes {
		failures = append(failures, p.Stop(context.Background()))
	}
	return errors.Join(failures...)
}

func (b *bench) startIdle(ctx context.Context, s *idleSide, i int) error {
	server, err := b.stage.AddServer(stage.ServerOptions{
		Name: fmt.Sprintf("idle-%d", i), Role: stage.RoleAPIServer, ElasticsearchURL: nowhere,
	})
	if err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(server.Config(&rest.Config{}))
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	began := time.Now()
	if err := server.Launch(ctx); err != nil {
		return err
	}
	return s.started(ctx, server.Process(), began, client, server.URL())
}

// buildMinimal builds the server of test/bench/minimal as ours is built.
func (b *bench) buildMinimal(ctx context.Context) (string, error) {
	path := b.path("minimal")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "auditquery.dev/auditquery/test/bench/minimal")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the minimal server: %w\n%s", err, output)
	}
	return path, nil
}

func (b *bench) startMinimal(ctx context.Context, s *idleSide, binary string, i int) error {
	free, err := loopback.Ports(1)
	if err != nil {
		return err
	}
	address := loopback.Address(free[0])
	serving, err := stage.IssueServing(b.stage.CA())
	if err != nil {
		return err
	}
	name := fmt.Sprintf("minimal-%d", i)
	cert, key, err := serving.Write(b.stage.Dir(), name)
	if err != nil {
		return err
	}
	kubeconfig, err := b.stage.Kubeconfig("system:serviceaccount:"+stage.SystemNamespace+":"+stage.APIServerAccount,
		"system:serviceaccounts", "system:serviceaccounts:"+stage.SystemNamespace, "system:authenticated")
	if err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(&rest.Config{TLSClientConfig: rest.TLSClientConfig{CAData: b.stage.CA().CertPEM()}})
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	began := time.Now()
	p, err := process.Start(process.Spec{
		Name: name, Path: binary, LogPath: b.stage.Dir() + "/" + name + ".log",
		Args: []string{
			"-kubeconfig=" + kubeconfig, fmt.Sprintf("-secure-port=%d", free[0]), "-tls-cert-file=" + cert, "-tls-private-key-file=" + key,
		},
	})
	if err != nil {
		return err
	}
	return s.started(ctx, p, began, client, "https://"+address)
}
