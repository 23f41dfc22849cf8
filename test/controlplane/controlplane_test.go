package controlplane_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/controlplane"
)

// parentEnv makes this test binary play the parent of
// TestNothingOutlivesAKilledParent.
const parentEnv = "AUDITQUERY_TEST_CONTROLPLANE_PARENT_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentEnv); dir != "" {
		os.Exit(beParent(dir))
	}
	os.Exit(m.Run())
}

// TestControlPlane starts one control plane and uses it in earnest.
func TestControlPlane(t *testing.T) {
	receiver := newReceiver(t)
	auditLog := filepath.Join(t.TempDir(), "audit.log")
	cp := controlplane.StartForTest(t, controlplane.Options{
		Audit: &controlplane.Audit{Policy: []byte(auditPolicy), LogPath: auditLog, Webhook: receiver.webhook()},
	})
	// Only now: kube-apiserver must not need the receiver to start.
	receiver.start(t)
	clientset, err := kubernetes.NewForConfig(cp.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}

	t.Run("kubectl and server have a real version", func(t *testing.T) { testVersion(t, cp) })
	t.Run("the kubeconfig is the owner's alone", func(t *testing.T) { testKubeconfigMode(t, cp) })
	t.Run("a namespace is created and deleted", func(t *testing.T) { testNamespace(t, clientset) })
	t.Run("owner references are honoured", func(t *testing.T) { testGarbageCollection(t, clientset) })
	t.Run("a tenant has only what RBAC gives", func(t *testing.T) { testTenant(t, cp) })
	t.Run("admission policies are evaluated", func(t *testing.T) { testAdmissionPolicy(t, cp) })
	t.Run("audit events reach webhook and file", func(t *testing.T) { testAudit(t, cp, receiver, auditLog) })
	t.Run("the API server restarts on its port", func(t *testing.T) {
		if err := cp.RestartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		testNamespace(t, clientset)
	})
}

func testVersion(t *testing.T, cp *controlplane.ControlPlane) {
	stdout, _, err := cp.Kubectl(t.Context(), "version")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(stdout, " Version: v1.") < 2 || strings.Contains(stdout, "v0.0.0") {
		t.Errorf("kubectl version: %s", stdout)
	}
}

func testKubeconfigMode(t *testing.T, cp *controlplane.ControlPlane) {
	info, err := os.Stat(cp.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
}

func testNamespace(t *testing.T, clientset kubernetes.Interface) {
	ctx := t.Context()
	created, err := clientset.CoreV1().Namespaces().Create(ctx,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "shop-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "it has a default ServiceAccount", func() (bool, error) {
		_, err := clientset.CoreV1().ServiceAccounts(created.Name).Get(ctx, "default", metav1.GetOptions{})
		return err == nil, ignoreNotFound(err)
	})
	if err := clientset.CoreV1().Namespaces().Delete(ctx, created.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "it is gone", func() (bool, error) {
		_, err := clientset.CoreV1().Namespaces().Get(ctx, created.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), ignoreNotFound(err)
	})
}

func testGarbageCollection(t *testing.T, clientset kubernetes.Interface) {
	ctx := t.Context()
	maps := clientset.CoreV1().ConfigMaps("default")
	owner, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	owned := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owned", OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID},
	}}}
	if _, err := maps.Create(ctx, owned, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := maps.Delete(ctx, owner.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the owned ConfigMap is gone", func() (bool, error) {
		_, err := maps.Get(ctx, owned.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), ignoreNotFound(err)
	})
}

func testTenant(t *testing.T, cp *controlplane.ControlPlane) {
	config := filepath.Join(t.TempDir(), "alice.kubeconfig")
	if err := cp.WriteKubeconfig(config, "alice", "tenants"); err != nil {
		t.Fatal(err)
	}
	_, _, err := cp.Kubectl(t.Context(), "--kubeconfig="+config, "get", "configmaps", "-n", "default")
	if err == nil || !strings.Contains(err.Error(), `User "alice" cannot list`) {
		t.Fatalf("before the RoleBinding: %v", err)
	}
	if _, _, err := cp.Kubectl(t.Context(), "create", "rolebinding", "alice", "-n", "default",
		"--clusterrole=view", "--group=tenants"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the RoleBinding is in force", func() (bool, error) {
		_, _, err := cp.Kubectl(t.Context(), "--kubeconfig="+config, "get", "configmaps", "-n", "default")
		return err == nil, nil
	})
}

func testAdmissionPolicy(t *testing.T, cp *controlplane.ControlPlane) {
	if _, _, err := cp.KubectlInput(t.Context(), strings.NewReader(admissionPolicy), "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	// Deleting it is part of the test's cleanup: later subtests make ConfigMaps.
	defer func() {
		if _, _, err := cp.KubectlInput(t.Context(), strings.NewReader(admissionPolicy), "delete", "-f", "-"); err != nil {
			t.Error(err)
		}
	}()
	waitFor(t, "the policy refuses", func() (bool, error) {
		_, _, err := cp.Kubectl(t.Context(), "create", "configmap", "forbidden", "-n", "default", "--dry-run=server")
		return err != nil && strings.Contains(err.Error(), "that name is taken"), nil
	})
}

func testAudit(t *testing.T, cp *controlplane.ControlPlane, receiver *receiver, auditLog string) {
	const name = "seen-by-the-auditor"
	if _, _, err := cp.Kubectl(t.Context(), "create", "namespace", name); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the webhook has seen it", func() (bool, error) { return receiver.saw(name, "create"), receiver.err() })
	waitFor(t, "the file has it", func() (bool, error) {
		content, err := os.ReadFile(auditLog)
		return strings.Contains(string(content), name), err
	})
}

// TestStateSurvives uses one directory twice.
func TestStateSurvives(t *testing.T) {
	dir := t.TempDir()
	first := controlplane.StartForTest(t, controlplane.Options{Dir: dir, WithoutControllerManager: true})
	if _, _, err := first.Kubectl(t.Context(), "create", "configmap", "kept", "--from-literal=a=b"); err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	second := controlplane.StartForTest(t, controlplane.Options{Dir: dir, WithoutControllerManager: true})
	stdout, _, err := second.Kubectl(t.Context(), "get", "configmap", "kept", "-o=jsonpath={.data.a}")
	if err != nil || stdout != "b" {
		t.Errorf("got %q, %v", stdout, err)
	}
}

func TestStartSaysWhatIsMissing(t *testing.T) {
	_, err := controlplane.Start(t.Context(), controlplane.Options{Dir: t.TempDir(), BinDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "make controlplane") {
		t.Errorf("got %v", err)
	}
}

// TestStartSaysWhyItFailed has a program end instead of becoming ready.
func TestStartSaysWhyItFailed(t *testing.T) {
	_, err := controlplane.Start(t.Context(), controlplane.Options{
		Dir: t.TempDir(), APIServerArgs: []string{"--no-such-flag"},
	})
	if err == nil {
		t.Fatal("started with an unknown flag")
	}
	for _, want := range []string{"unknown flag: --no-such-flag", "kube-apiserver.log"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

// TestNothingOutlivesAKilledParent kills a process that runs a control plane,
// in a way that lets it clean nothing up.
func TestNothingOutlivesAKilledParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"="+t.TempDir())
	parent.Stderr = os.Stderr
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var etcd, apiServer, controllerManager int
	_, scanErr := fmt.Fscan(output, &etcd, &apiServer, &controllerManager)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	if scanErr != nil {
		t.Fatalf("the parent named no children: %v", scanErr)
	}
	for _, pid := range []int{etcd, apiServer, controllerManager} {
		waitFor(t, fmt.Sprintf("process %d is gone", pid), func() (bool, error) { return gone(pid), nil })
	}
}

func waitFor(t *testing.T, what string, ok func() (bool, error)) {
	t.Helper()
	await.Nil(t, what, func(context.Context) error {
		done, err := ok()
		if err == nil && !done {
			err = errors.New("not yet")
		}
		return err
	})
}

// gone tells whether there is no such process; a signal of 0 is only a question.
func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
