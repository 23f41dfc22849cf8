package apiserver

import (
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"auditquery.dev/auditquery/api/records/v1alpha1"
	"auditquery.dev/auditquery/internal/apiserver/registry"
	"auditquery.dev/auditquery/internal/record"
)

// api is what the served group is made of.
type api struct {
	scheme *runtime.Scheme
	codecs textCodecs
	// parameters decodes query parameters.
	parameters runtime.ParameterCodec
	// plainJSON identifies the encoder of JSON that is not indented.
	plainJSON runtime.Identifier
}

func newAPI() (*api, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	unversioned := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(scheme, unversioned)
	scheme.AddUnversionedTypes(unversioned,
		&metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	for _, kind := range record.Kinds() {
		err := scheme.AddFieldLabelConversionFunc(v1alpha1.GroupVersion.WithKind(string(kind)),
			registry.FieldLabel(registry.FieldLabels(kind)))
		if err != nil {
			return nil, fmt.Errorf("field labels of %s: %w", kind, err)
		}
	}
	out := &api{
		scheme: scheme, codecs: textCodecs{serializer.NewCodecFactory(scheme)}, parameters: runtime.NewParameterCodec(scheme),
	}
	info, ok := runtime.SerializerInfoForMediaType(out.codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	if !ok {
		return nil, errors.New("there is no serializer of JSON")
	}
	out.plainJSON = out.codecs.EncoderForVersion(info.Serializer, v1alpha1.GroupVersion).Identifier()
	return out, nil
}

// textCodecs offers JSON and YAML. Records have no protobuf form, and a client
// that would rather have one than JSON must be given JSON and not an error.
type textCodecs struct{ serializer.CodecFactory }

// SupportedMediaTypes lists what can be negotiated.
func (c textCodecs) SupportedMediaTypes() []runtime.SerializerInfo {
	var out []runtime.SerializerInfo
	for _, info := range c.CodecFactory.SupportedMediaTypes() {
		if info.MediaType == runtime.ContentTypeJSON || info.MediaType == runtime.ContentTypeYAML {
			out = append(out, info)
		}
	}
	return out
}
