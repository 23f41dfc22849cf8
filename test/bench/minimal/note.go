package main

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Note is the one kind that is served.
type Note struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
}

// NoteList is a list of notes.
type NoteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Note `json:"items"`
}

// OpenAPIModelName is what the schema of Note is called.
func (Note) OpenAPIModelName() string { return "dev.auditquery.minimal.v1.Note" }

// OpenAPIModelName is what the schema of NoteList is called.
func (NoteList) OpenAPIModelName() string { return "dev.auditquery.minimal.v1.NoteList" }

// DeepCopyObject returns a copy.
func (n *Note) DeepCopyObject() runtime.Object {
	out := &Note{TypeMeta: n.TypeMeta}
	n.DeepCopyInto(&out.ObjectMeta)
	return out
}

// DeepCopyObject returns a copy.
func (l *NoteList) DeepCopyObject() runtime.Object {
	out := &NoteList{TypeMeta: l.TypeMeta, ListMeta: *l.DeepCopy(), Items: make([]Note, len(l.Items))}
	for i := range l.Items {
		out.Items[i].TypeMeta = l.Items[i].TypeMeta
		l.Items[i].DeepCopyInto(&out.Items[i].ObjectMeta)
	}
	return out
}

func groupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: "minimal.auditquery.dev", Version: "v1"}
}

func noteResource() schema.GroupResource {
	return schema.GroupResource{Group: groupVersion().Group, Resource: "notes"}
}

// notes serves what it was made with.
type notes struct {
	rest.TableConvertor
	list NoteList
}

var (
	_ rest.Storage              = (*notes)(nil)
	_ rest.Scoper               = (*notes)(nil)
	_ rest.SingularNameProvider = (*notes)(nil)
	_ rest.Getter               = (*notes)(nil)
	_ rest.Lister               = (*notes)(nil)
)

func newNotes() *notes {
	return &notes{
		TableConvertor: rest.NewDefaultTableConvertor(noteResource()),
		list:           NoteList{Items: []Note{{ObjectMeta: metav1.ObjectMeta{Name: "first"}}}},
	}
}

func (*notes) New() runtime.Object     { return &Note{} }
func (*notes) NewList() runtime.Object { return &NoteList{} }
func (*notes) Destroy()                {}
func (*notes) NamespaceScoped() bool   { return false }
func (*notes) GetSingularName() string { return "note" }

func (n *notes) List(context.Context, *internalversion.ListOptions) (runtime.Object, error) {
	return n.list.DeepCopyObject(), nil
}

func (n *notes) Get(_ context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	for i := range n.list.Items {
		if n.list.Items[i].Name == name {
			return n.list.Items[i].DeepCopyObject(), nil
		}
	}
	return nil, apierrors.NewNotFound(noteResource(), name)
}

// noteDefinitions are the schemas of the two kinds.
func noteDefinitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	object := func(properties map[string]spec.Schema, dependencies ...string) common.OpenAPIDefinition {
		text := spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"string"}}}
		properties["kind"], properties["apiVersion"] = text, text
		return common.OpenAPIDefinition{
			Schema:       spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: properties}},
			Dependencies: dependencies,
		}
	}
	to := func(name string) spec.Schema { return spec.Schema{SchemaProps: spec.SchemaProps{Ref: ref(name)}} }
	note, objectMeta, listMeta := Note{}.OpenAPIModelName(), metav1.ObjectMeta{}.OpenAPIModelName(), metav1.ListMeta{}.OpenAPIModelName()
	item := to(note)
	return map[string]common.OpenAPIDefinition{
		note: object(map[string]spec.Schema{"metadata": to(objectMeta)}, objectMeta),
		NoteList{}.OpenAPIModelName(): object(map[string]spec.Schema{
			"metadata": to(listMeta),
			"items":    {SchemaProps: spec.SchemaProps{Type: []string{"array"}, Items: &spec.SchemaOrArray{Schema: &item}}},
		}, note, listMeta),
	}
}
