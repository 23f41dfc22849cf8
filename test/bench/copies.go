package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// copiesDefinition makes a kind for records that the kube-apiserver keeps itself.
// Their fields have one owner as a whole, so that little is kept of who owns what.
const copiesDefinition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: copies.bench.auditquery.dev}
spec:
  group: bench.auditquery.dev
  scope: Namespaced
  names: {kind: Copy, listKind: CopyList, plural: copies, singular: copy}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, x-kubernetes-preserve-unknown-fields: true, x-kubernetes-map-type: atomic}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: bench-copies, labels: {rbac.authorization.k8s.io/aggregate-to-view: "true"}}
rules: [{apiGroups: [bench.auditquery.dev], resources: [copies], verbs: [get, list]}]
---
apiVersion: v1
kind: Namespace
metadata: {name: bench}
`

const copiesPage = "/apis/bench.auditquery.dev/v1/copies?limit=500"

func copiesResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "bench.auditquery.dev", Version: "v1", Resource: "copies"}
}

// makeCopies makes custom resources of a page of records, the same number of bytes
// as JSON, and returns where they are listed.
func (b *bench) makeCopies(ctx context.Context, page *asked) (string, error) {
	if b.copied {
		return copiesPage, nil
	}
	b.progress.step("making %d custom resources", pageRows)
	records, err := recordsOf(ctx, page)
	if err != nil {
		return "", err
	}
	control := b.stage.ControlPlane()
	if _, _, err := control.KubectlInput(ctx, strings.NewReader(copiesDefinition), "apply", "--server-side", "-f", "-"); err != nil {
		return "", err
	}
	if _, _, err := control.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd", "copies.bench.auditquery.dev"); err != nil {
		return "", err
	}
	client, err := dynamic.NewForConfig(control.RESTConfig())
	if err != nil {
		return "", err
	}
	into := client.Resource(copiesResource()).Namespace(benchCluster)
	// The first one is made twice: at first it tells what its own metadata costs.
	sample, err := makeCopy(ctx, into, records[0], 0)
	if err != nil {
		return "", err
	}
	if err := into.Delete(ctx, records[0].name, metav1.DeleteOptions{}); err != nil {
		return "", err
	}
	for _, record := range records {
		if _, err := makeCopy(ctx, into, record, len(records[0].json)-sample); err != nil {
			return "", err
		}
	}
	b.copied = true
	return copiesPage, b.awaitCopies(ctx)
}

// servedRecord is a record as it is served.
type servedRecord struct {
	name   string
	json   []byte
	fields map[string]any
}

func recordsOf(ctx context.Context, page *asked) ([]servedRecord, error) {
	response, err := page.caller.open(ctx, page.uri)
	if err != nil {
		return nil, err
	}
	text, err := readAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	var all []servedRecord
	for _, item := range list.Items {
		var fields map[string]any
		if err := json.Unmarshal(item, &fields); err != nil {
			return nil, err
		}
		name, ok := fields["id"].(string)
		if !ok {
			return nil, fmt.Errorf("a record has no id: %.200s", item)
		}
		delete(fields, "metadata")
		all = append(all, servedRecord{name: name, json: item, fields: fields})
	}
	return all, nil
}

// makeCopy makes a custom resource of a record, so many bytes longer than it comes
// out by itself, and returns the size of its JSON. It lacks details, to make room
// for what the kube-apiserver adds.
func makeCopy(ctx context.Context, into dynamic.ResourceInterface, record servedRecord, longer int) (int, error) {
	spec := maps.Clone(record.fields)
	delete(spec, "details")
	description, ok := spec["description"].(string)
	if !ok || len(description)+longer < 0 {
		return 0, fmt.Errorf("the record %s has too little of a description", record.name)
	}
	spec["description"] = (description + strings.Repeat("-", max(longer, 0)))[:len(description)+longer]
	made, err := into.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": copiesResource().GroupVersion().String(), "kind": "Copy",
		"metadata": map[string]any{"name": record.name}, "spec": spec,
	}}, metav1.CreateOptions{FieldManager: "bench"})
	if err != nil {
		return 0, err
	}
	text, err := made.MarshalJSON()
	return len(text), err
}

// awaitCopies returns when the role that lets them be listed is in effect.
func (b *bench) awaitCopies(ctx context.Context) error {
	config, err := b.reader(ctx, benchReader)
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return b.stage.ControlPlane().APIServer().WaitUntil(ctx, "the custom resources can be listed", func(ctx context.Context) error {
		list, err := client.Resource(copiesResource()).List(ctx, metav1.ListOptions{Limit: 1})
		if apierrors.IsForbidden(err) || err == nil && len(list.Items) > 0 {
			return err
		}
		return errors.Join(err, errors.New("there are none"))
	})
}
