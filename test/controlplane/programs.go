package controlplane

import (
	"slices"
	"strconv"
	"time"

	"auditquery.dev/auditquery/test/loopback"
	"auditquery.dev/auditquery/test/process"
)

const (
	programEtcd              = "etcd"
	programAPIServer         = "kube-apiserver"
	programControllerManager = "kube-controller-manager"
	programKubectl           = "kubectl"

	serviceRange = "10.96.0.0/16"
	// serviceIP is the first of serviceRange, which the Service kubernetes gets.
	serviceIP = "10.96.0.1"

	// controllers are those without which namespaces, ServiceAccounts, owner
	// references and the aggregated roles do not work; none of them needs nodes.
	controllers = "namespace-controller,clusterrole-aggregation-controller," +
		"serviceaccount-controller,garbage-collector-controller"

	// apiServerGrace lets kube-apiserver finish requests and send what the audit
	// backend still holds.
	apiServerGrace = 20 * time.Second
)

func (cp *ControlPlane) etcdSpec() process.Spec {
	client := "https://" + loopback.Address(cp.ports.etcdClient)
	peer := "http://" + loopback.Address(cp.ports.etcdPeer)
	return cp.spec(programEtcd, 10*time.Second, []string{
		"--name=local",
		"--data-dir=" + cp.path("etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=local=" + peer,
		"--client-cert-auth",
		"--trusted-ca-file=" + cp.path(dirPKI, fileEtcdCA),
		"--cert-file=" + cp.path(dirPKI, nameEtcd+".crt"),
		"--key-file=" + cp.path(dirPKI, nameEtcd+".key"),
		// Nothing here has to survive a loss of power.
		"--unsafe-no-fsync",
		"--auto-compaction-mode=revision",
		"--auto-compaction-retention=10000",
		"--log-level=warn",
	})
}

func (cp *ControlPlane) apiServerSpec() process.Spec {
	args := []string{
		"--etcd-servers=https://" + loopback.Address(cp.ports.etcdClient),
		"--etcd-cafile=" + cp.path(dirPKI, fileEtcdCA),
		"--etcd-certfile=" + cp.path(dirPKI, nameEtcdClient+".crt"),
		"--etcd-keyfile=" + cp.path(dirPKI, nameEtcdClient+".key"),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(cp.ports.apiServer),
		// Endpoints cannot hold a loopback address; without this the server
		// tries for ever.
		"--endpoint-reconciler-type=none",
		"--tls-cert-file=" + cp.path(dirPKI, nameServing+".crt"),
		"--tls-private-key-file=" + cp.path(dirPKI, nameServing+".key"),
		"--client-ca-file=" + cp.path(dirPKI, fileClusterCA),
		"--authorization-mode=Node,RBAC",
		"--service-cluster-ip-range=" + serviceRange,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + cp.path(dirPKI, fileVerifyingKey),
		"--service-account-signing-key-file=" + cp.path(dirPKI, fileSigningKey),
		"--requestheader-client-ca-file=" + cp.path(dirPKI, fileRequestHeaderCA),
		"--requestheader-allowed-names=" + proxyCommonName,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + cp.path(dirPKI, nameProxy+".crt"),
		"--proxy-client-key-file=" + cp.path(dirPKI, nameProxy+".key"),
		"--profiling=false",
		// On SIGTERM go on after 2 s whoever still watches; otherwise the server
		// waits a minute for connections that nobody will close.
		"--shutdown-send-retry-after=true",
	}
	if cp.options.Audit != nil {
		args = append(args, cp.options.Audit.flags(cp.options.Dir)...)
	}
	return cp.spec(programAPIServer, apiServerGrace, slices.Concat(args, cp.options.APIServerArgs))
}

func (cp *ControlPlane) controllerManagerSpec() process.Spec {
	return cp.spec(programControllerManager, 5*time.Second, []string{
		"--kubeconfig=" + cp.path("controller-manager.kubeconfig"),
		"--controllers=" + controllers,
		"--leader-elect=false",
		// Each controller acts as its own ServiceAccount, as in a real cluster:
		// audit events then name who did it.
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + cp.path(dirPKI, fileSigningKey),
		"--root-ca-file=" + cp.path(dirPKI, fileClusterCA),
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(cp.ports.controllerManager),
		"--tls-cert-file=" + cp.path(dirPKI, nameServing+".crt"),
		"--tls-private-key-file=" + cp.path(dirPKI, nameServing+".key"),
		"--profiling=false",
	})
}

func (cp *ControlPlane) spec(program string, grace time.Duration, args []string) process.Spec {
	return process.Spec{
		Name:    program,
		Path:    programPath(cp.options.BinDir, program),
		Args:    args,
		Dir:     cp.options.Dir,
		LogPath: cp.path(dirLogs, program+".log"),
		Grace:   grace,
	}
}
