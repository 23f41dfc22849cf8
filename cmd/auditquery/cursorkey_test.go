package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestTheCursorKeyIsMadeOnce(t *testing.T) {
	client := fake.NewClientset()
	first, err := cursorKeySecret(t.Context(), client.CoreV1())
	if err != nil {
		t.Fatal(err)
	}
	second, err := cursorKeySecret(t.Context(), client.CoreV1())
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != 32 || !bytes.Equal(first, second) || bytes.Equal(first, make([]byte, 32)) {
		t.Errorf("%x, then %x", first, second)
	}
}

func TestOfTwoCursorKeysTheFirstStands(t *testing.T) {
	client := fake.NewClientset()
	theirs := newCursorSecret()
	resource := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	client.PrependReactor("create", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		if err := client.Tracker().Create(resource, theirs, systemNamespace); err != nil {
			t.Error(err)
		}
		return true, nil, apierrors.NewAlreadyExists(resource.GroupResource(), cursorSecretName)
	})
	got, err := cursorKeySecret(t.Context(), client.CoreV1())
	if err != nil || !bytes.Equal(got, theirs.Data[cursorSecretKey]) {
		t.Errorf("%x, %v", got, err)
	}
}

func TestCursorKeysThatCannotBeUsed(t *testing.T) {
	forbidden := fake.NewClientset()
	forbidden.PrependReactor("*", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, cursorSecretName, nil)
	})
	if _, err := cursorKeySecret(t.Context(), forbidden.CoreV1()); !apierrors.IsForbidden(err) {
		t.Errorf("without permission: %v", err)
	}
	short := newCursorSecret()
	short.Data[cursorSecretKey] = []byte("hunter2")
	_, err := cursorKeySecret(t.Context(), fake.NewClientset(short).CoreV1())
	if !errors.Is(err, errShortKey) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a short key: %v", err)
	}
}

func TestCursorKeyFile(t *testing.T) {
	tests := map[string]struct {
		content string
		wantErr bool
	}{
		"32 bytes":     {content: strings.Repeat("\n", 32)},
		"longer":       {content: strings.Repeat("k", 64)},
		"too short":    {content: "short", wantErr: true},
		"far too long": {content: strings.Repeat("k", maxCursorKey+1), wantErr: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := cursorKeyFile(path)
			if (err != nil) != test.wantErr || (err == nil && string(got) != test.content) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	if _, err := cursorKeyFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
