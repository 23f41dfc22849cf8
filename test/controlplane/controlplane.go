// Package controlplane runs a real Kubernetes control plane on this machine:
// etcd, kube-apiserver and kube-controller-manager, with certificates of its
// own and every port on 127.0.0.1. There is no kubelet, so no pod ever runs.
//
// The programs come from `make controlplane`. When Dir is used again the
// cluster's objects are still there; ports and certificates are new each time,
// and so are all credentials made from them.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/test/loopback"
	"auditquery.dev/auditquery/test/process"
)

// startTimeout bounds Start when ctx has no nearer deadline. Everything is up
// in seconds; a machine that is busy with other tests takes longer.
const startTimeout = 3 * time.Minute

// Options say how to run the control plane. Dir is required.
type Options struct {
	// Dir holds state, certificates and logs. It is made if it is missing.
	Dir string
	// BinDir holds the programs; empty means what FindBinDir finds.
	BinDir string
	// WithoutControllerManager leaves kube-controller-manager out: then no
	// namespace is ever deleted, view, edit and admin stay empty, and nobody
	// makes ServiceAccounts.
	WithoutControllerManager bool
	// Audit has kube-apiserver write audit events; nil means none.
	Audit *Audit
	// APIServerArgs are appended to kube-apiserver's flags.
	APIServerArgs []string
	// Progress is told what is being waited for, in short lines.
	Progress func(string)
}

// ControlPlane is a running control plane.
type ControlPlane struct {
	options    Options
	pki        *pki
	ports      ports
	kubeconfig string

	etcd              *process.Process
	apiServer         *process.Process
	controllerManager *process.Process
}

type ports struct {
	etcdClient        int
	etcdPeer          int
	apiServer         int
	controllerManager int
}

// Start starts everything and returns when the cluster is ready for use. On an
// error nothing is left running.
func Start(ctx context.Context, options Options) (*ControlPlane, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	cp, err := prepare(options)
	if err != nil {
		return nil, fmt.Errorf("prepare the control plane: %w", err)
	}
	if err := cp.start(ctx); err != nil {
		// ctx may be over, and its end is no reason to leave servers behind.
		return nil, errors.Join(fmt.Errorf("start the control plane: %w", err), cp.Stop())
	}
	return cp, nil
}

// prepare writes every file and starts nothing.
func prepare(options Options) (*ControlPlane, error) {
	if options.Dir == "" {
		return nil, errors.New("no Dir was given")
	}
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, err
	}
	options.Dir = dir
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	if options.BinDir, err = resolveBinDir(options.BinDir); err != nil {
		return nil, err
	}
	for _, sub := range []string{dirPKI, dirLogs} {
		if err := os.MkdirAll(filepath.Join(options.Dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	cp := &ControlPlane{options: options, kubeconfig: filepath.Join(options.Dir, "admin.kubeconfig")}
	free, err := loopback.Ports(4)
	if err != nil {
		return nil, err
	}
	cp.ports = ports{etcdClient: free[0], etcdPeer: free[1], apiServer: free[2], controllerManager: free[3]}
	if cp.pki, err = newPKI(filepath.Join(options.Dir, dirPKI)); err != nil {
		return nil, fmt.Errorf("make certificates: %w", err)
	}
	if err := cp.writeFiles(); err != nil {
		return nil, err
	}
	return cp, nil
}

func (cp *ControlPlane) writeFiles() error {
	if err := cp.writeKubeconfig(cp.kubeconfig, cp.pki.admin); err != nil {
		return err
	}
	if err := cp.writeKubeconfig(cp.path("controller-manager.kubeconfig"), cp.pki.controllerManager); err != nil {
		return err
	}
	if cp.options.Audit == nil {
		return nil
	}
	return cp.options.Audit.write(cp.options.Dir)
}

func (cp *ControlPlane) start(ctx context.Context) error {
	began := time.Now()
	cp.options.Progress("starting etcd and kube-apiserver")
	var err error
	if cp.etcd, err = process.Start(cp.etcdSpec()); err != nil {
		return err
	}
	if cp.apiServer, err = process.Start(cp.apiServerSpec()); err != nil {
		return err
	}
	if err := cp.waitAPIServer(ctx); err != nil {
		return err
	}
	if !cp.options.WithoutControllerManager {
		cp.options.Progress("starting kube-controller-manager")
		if cp.controllerManager, err = process.Start(cp.controllerManagerSpec()); err != nil {
			return err
		}
		if err := cp.waitControllers(ctx); err != nil {
			return err
		}
	}
	cp.options.Progress(fmt.Sprintf("control plane ready in %s", time.Since(began).Round(100*time.Millisecond)))
	return nil
}

// RestartAPIServer stops kube-apiserver, the way it likes to be stopped, and
// starts it again on the same port.
func (cp *ControlPlane) RestartAPIServer(ctx context.Context) error {
	if err := cp.apiServer.Stop(ctx); err != nil {
		return err
	}
	restarted, err := process.Start(cp.apiServerSpec())
	if err != nil {
		return err
	}
	cp.apiServer = restarted
	return cp.waitAPIServer(ctx)
}

// Stop stops everything, clients before servers, and returns when it is gone.
func (cp *ControlPlane) Stop() error {
	var failures []error
	for _, p := range []*process.Process{cp.controllerManager, cp.apiServer, cp.etcd} {
		if p != nil {
			// The grace of each bounds this; no caller's deadline may cut it short.
			failures = append(failures, p.Stop(context.Background()))
		}
	}
	return errors.Join(failures...)
}

// Kubeconfig is the path of the administrator's kubeconfig.
func (cp *ControlPlane) Kubeconfig() string { return cp.kubeconfig }

// APIServer is the running kube-apiserver, for tests that hurt it.
func (cp *ControlPlane) APIServer() *process.Process { return cp.apiServer }

// PIDs names the running programs' process ids, to measure or to hurt them.
func (cp *ControlPlane) PIDs() map[string]int {
	pids := map[string]int{programEtcd: cp.etcd.PID(), programAPIServer: cp.apiServer.PID()}
	if cp.controllerManager != nil {
		pids[programControllerManager] = cp.controllerManager.PID()
	}
	return pids
}

// URL is kube-apiserver's address.
func (cp *ControlPlane) URL() string {
	return "https://" + loopback.Address(cp.ports.apiServer)
}

// CAPEM is the authority of kube-apiserver and of client certificates.
func (cp *ControlPlane) CAPEM() []byte { return cp.pki.cluster.CertPEM() }

// RESTConfig is the administrator's configuration, a new copy each time. It
// sets no rate limit: the server has its own.
func (cp *ControlPlane) RESTConfig() *rest.Config {
	return &rest.Config{
		Host: cp.URL(),
		TLSClientConfig: rest.TLSClientConfig{
			CAData:   cp.pki.cluster.CertPEM(),
			CertData: cp.pki.admin.CertPEM,
			KeyData:  cp.pki.admin.KeyPEM,
		},
		QPS: -1,
	}
}

func (cp *ControlPlane) path(elements ...string) string {
	return filepath.Join(append([]string{cp.options.Dir}, elements...)...)
}
