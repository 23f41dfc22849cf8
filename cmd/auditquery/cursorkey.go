package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"auditquery.dev/auditquery/internal/store"
)

const (
	systemNamespace  = "auditquery-system"
	cursorSecretName = "auditquery-cursor-key"
	cursorSecretKey  = "key"
	// maxCursorKey bounds a key that somebody else wrote.
	maxCursorKey = 4 << 10
)

// cursorKeyFile reads the key from a file, such as one of a mounted Secret.
func cursorKeyFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the cursor key: %w", err)
	}
	if info.Size() > maxCursorKey {
		return nil, fmt.Errorf("read the cursor key: %s is larger than %d bytes", path, maxCursorKey)
	}
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the cursor key: %w", err)
	}
	return checkCursorKey(key, "the file "+path)
}

// cursorKeySecret reads the key that all servers of a cluster share, and makes
// it if it is not there. Of two servers that make it at once the first stands.
func cursorKeySecret(ctx context.Context, secrets corev1client.SecretsGetter) ([]byte, error) {
	client := secrets.Secrets(systemNamespace)
	from := fmt.Sprintf("the Secret %s/%s", systemNamespace, cursorSecretName)
	secret, err := client.Get(ctx, cursorSecretName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		secret, err = client.Create(ctx, newCursorSecret(), metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			secret, err = client.Get(ctx, cursorSecretName, metav1.GetOptions{})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read or make %s (is the namespace there, and may this account get and create it?): %w", from, err)
	}
	return checkCursorKey(secret.Data[cursorSecretKey], from)
}

func newCursorSecret() *corev1.Secret {
	key := make([]byte, store.CursorKeyBytes)
	_, _ = rand.Read(key) // never fails
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: cursorSecretName, Namespace: systemNamespace,
			Labels: map[string]string{"app.kubernetes.io/part-of": "auditquery"},
		},
		Data: map[string][]byte{cursorSecretKey: key},
	}
}

var errShortKey = errors.New("the cursor key is too short")

func checkCursorKey(key []byte, from string) ([]byte, error) {
	if len(key) < store.CursorKeyBytes {
		return nil, fmt.Errorf("%w: %s holds %d bytes; it needs %d random ones", errShortKey, from, len(key), store.CursorKeyBytes)
	}
	return key, nil
}
