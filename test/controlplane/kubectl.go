package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"auditquery.dev/auditquery/test/certs"
)

// KubectlPath is the kubectl that was built with the control plane.
func (cp *ControlPlane) KubectlPath() string {
	return programPath(cp.options.BinDir, programKubectl)
}

// KubectlEnv is the environment in which kubectl, helm and their like speak to
// this cluster and leave the user's own files alone.
func (cp *ControlPlane) KubectlEnv() []string {
	return append(os.Environ(), "KUBECONFIG="+cp.kubeconfig, "KUBECACHEDIR="+cp.path("kubectl-cache"))
}

// Kubectl runs kubectl as the administrator. A failure carries what it printed.
func (cp *ControlPlane) Kubectl(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	return cp.KubectlInput(ctx, nil, args...)
}

// KubectlInput is Kubectl with standard input, for `apply -f -`.
func (cp *ControlPlane) KubectlInput(ctx context.Context, stdin io.Reader, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, cp.KubectlPath(), args...)
	cmd.Env = cp.KubectlEnv()
	cmd.Stdin = stdin
	// SIGINT lets `get -w` and `port-forward` leave in order; SIGKILL follows.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	var out, errOut bytes.Buffer
	cmd.Stdout = &out
	cmd.Stderr = &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), errOut.String(), fmt.Errorf("kubectl %s: %w\n%s%s",
			strings.Join(args, " "), err, out.String(), errOut.String())
	}
	return out.String(), errOut.String(), nil
}

// WriteKubeconfig writes to path a kubeconfig of another user, in the groups
// given, who is whatever RBAC makes of them.
func (cp *ControlPlane) WriteKubeconfig(path, user string, groups ...string) error {
	pair, err := cp.pki.cluster.IssueClient(user, groups...)
	if err != nil {
		return err
	}
	return cp.writeKubeconfig(path, pair)
}

func (cp *ControlPlane) writeKubeconfig(path string, pair certs.Pair) error {
	const name = "auditquery-local"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{
		Server:                   cp.URL(),
		CertificateAuthorityData: cp.pki.cluster.CertPEM(),
	}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: pair.CertPEM,
		ClientKeyData:         pair.KeyPEM,
	}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	// client-go writes it with mode 0600.
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("write the kubeconfig %s: %w", path, err)
	}
	return nil
}
