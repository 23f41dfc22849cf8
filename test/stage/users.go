package stage

import (
	"context"
	"fmt"
	"os"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Kubeconfig writes a kubeconfig of a user, who is whatever RBAC makes of the name
// and the groups, and returns its path.
func (s *Stage) Kubeconfig(user string, groups ...string) (string, error) {
	if err := os.MkdirAll(s.path("users"), 0o700); err != nil {
		return "", err
	}
	path := s.path("users", strings.NewReplacer(":", "-", "/", "-").Replace(user)+".kubeconfig")
	return path, s.control.WriteKubeconfig(path, user, groups...)
}

// UserConfig is how a user with a certificate reaches the kube-apiserver. It sets
// no rate limit.
func (s *Stage) UserConfig(user string, groups ...string) (*rest.Config, error) {
	path, err := s.Kubeconfig(user, groups...)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	return config, nil
}

// AnonymousConfig is how anybody reaches the kube-apiserver.
func (s *Stage) AnonymousConfig() *rest.Config {
	return rest.AnonymousClientConfig(s.control.RESTConfig())
}

// TokenConfig is how a ServiceAccount, which is made if it is missing, reaches the
// kube-apiserver: with a new bearer token, which is good for an hour.
func (s *Stage) TokenConfig(ctx context.Context, namespace, account string) (*rest.Config, error) {
	client, err := kubernetes.NewForConfig(s.control.RESTConfig())
	if err != nil {
		return nil, err
	}
	accounts := client.CoreV1().ServiceAccounts(namespace)
	made := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}
	if _, err := accounts.Create(ctx, made, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("make the ServiceAccount %s/%s: %w", namespace, account, err)
	}
	token, err := accounts.CreateToken(ctx, account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("make a token of %s/%s: %w", namespace, account, err)
	}
	config := s.AnonymousConfig()
	config.BearerToken = token.Status.Token
	return config, nil
}

// Config is how whoever config stands for reaches the server's own address.
func (v *Server) Config(config *rest.Config) *rest.Config {
	own := rest.CopyConfig(config)
	own.Host = v.URL()
	own.CAData, own.CAFile = v.stage.ca.CertPEM(), ""
	return own
}
