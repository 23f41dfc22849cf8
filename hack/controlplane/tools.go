//go:build tools

// Package controlplane pins the programs of the local control plane, so that
// go.mod and go.sum are complete for building them.
package controlplane

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/component-base/version"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
