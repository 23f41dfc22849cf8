// Command minimal is the least that an aggregated API server can be: the same
// library with the same options as ours, delegated authentication and
// authorization, priority and fairness, no etcd, and one resource with one object
// in memory. It is what the memory of ours is compared with.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kube-openapi/pkg/common"

	recordsopenapi "auditquery.dev/auditquery/api/records/openapi"
)

const (
	name = "minimal"
	// resync and streams are what our server has.
	resync  = 10 * time.Minute
	streams = 1000
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "minimal:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "how to reach the cluster")
	serving := genericoptions.NewSecureServingOptions()
	flags.IntVar(&serving.BindPort, "secure-port", 0, "where to serve, on 127.0.0.1")
	flags.StringVar(&serving.ServerCert.CertKey.CertFile, "tls-cert-file", "", "the certificate")
	flags.StringVar(&serving.ServerCert.CertKey.KeyFile, "tls-private-key-file", "", "its key")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := serving.BindAddress.UnmarshalText([]byte("127.0.0.1")); err != nil {
		return err
	}
	serving.HTTP2MaxStreamsPerConnection = streams
	serving.ServerCert.CertDirectory = ""
	server, err := newServer(serving, *kubeconfig)
	if err != nil {
		return err
	}
	return server.PrepareRun().RunWithContext(ctx)
}

func newServer(serving *genericoptions.SecureServingOptions, kubeconfig string) (*genericapiserver.GenericAPIServer, error) {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(groupVersion(), &Note{}, &NoteList{})
	metav1.AddToGroupVersion(scheme, groupVersion())
	unversioned := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(scheme, unversioned)
	scheme.AddUnversionedTypes(unversioned,
		&metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	codecs := serializer.NewCodecFactory(scheme)

	config := genericapiserver.NewConfig(codecs)
	namer := openapi.NewDefinitionNamer(scheme)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	shared, err := apply(config, serving, kubeconfig)
	if err != nil {
		return nil, err
	}
	server, err := config.Complete(shared).New(name, genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, err
	}
	group := genericapiserver.NewDefaultAPIGroupInfo(groupVersion().Group, scheme, runtime.NewParameterCodec(scheme), codecs)
	group.VersionedResourcesStorageMap[groupVersion().Version] = map[string]rest.Storage{noteResource().Resource: newNotes()}
	if err := server.InstallAPIGroup(&group); err != nil {
		return nil, err
	}
	return server, nil
}

// apply applies the options that our server applies.
func apply(config *genericapiserver.Config, serving *genericoptions.SecureServingOptions, kubeconfig string) (informers.SharedInformerFactory, error) {
	authentication := genericoptions.NewDelegatingAuthenticationOptions()
	authentication.RemoteKubeConfigFile = kubeconfig
	authorization := genericoptions.NewDelegatingAuthorizationOptions()
	authorization.RemoteKubeConfigFile = kubeconfig
	features := genericoptions.NewFeatureOptions()
	features.EnableProfiling = false
	if err := genericoptions.NewServerRunOptions().ApplyTo(config); err != nil {
		return nil, err
	}
	if err := serving.WithLoopback().ApplyToConfig(config); err != nil {
		return nil, err
	}
	if err := authentication.ApplyTo(&config.Authentication, config.SecureServing, config.OpenAPIConfig); err != nil {
		return nil, err
	}
	if err := authorization.ApplyTo(&config.Authorization); err != nil {
		return nil, err
	}
	if err := genericoptions.NewAuditOptions().ApplyTo(config); err != nil {
		return nil, err
	}
	cluster, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(cluster)
	if err != nil {
		return nil, err
	}
	shared := informers.NewSharedInformerFactory(client, resync)
	return shared, features.ApplyTo(config, client, shared)
}

// definitions are those of the notes, and those of the library's own kinds, which
// are generated beside our records.
func definitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	all := recordsopenapi.GetOpenAPIDefinitions(ref)
	maps.Copy(all, noteDefinitions(ref))
	return all
}
