// Package stage runs AuditQuery as a whole on this machine, for demo, tests and
// benchmarks: a real control plane, config/default in it, and servers of ours
// behind its aggregator, each a process with the rights of its ServiceAccount and
// no more.
//
// A test takes one for itself, or shares one with its package:
//
//	s := stage.StartForTest(t, stage.Options{})            // all roles, on SQLite
//
//	var shared = stage.NewShared(stage.Options{Audit: true}) // in TestMain: os.Exit(shared.Run(m))
//	s := shared.Stage(t)
//
// A program starts one with Start, or step by step with New, StartControlPlane,
// Install, StartServers and Register, and ends it with Stop.
//
// The servers are named in Options.Servers, one of the role all by default.
// Replicas need Elasticsearch:
//
//	stage.Options{
//		ElasticsearchURL: elasticsearch.URL(),
//		Servers: []stage.ServerOptions{
//			{Role: stage.RoleController}, {Role: stage.RoleAPIServer}, {Role: stage.RoleAPIServer},
//		},
//	}
//
// The kube-apiserver asks the first server that has an API, until Register is told
// of another port, such as a balancer's. A server can be killed, paused
// (Process().Signal), stopped and started again on its ports, also with another
// certificate in its files.
//
// UserConfig, TokenConfig and AnonymousConfig say how somebody reaches the
// kube-apiserver, Server.Config how the same reaches a server's own address. Store
// opens the records beside the servers, and Append adds some.
//
// The program is the one that BinaryEnv names, else it is built once for each
// stage; a second stage of one process is given the first one's Binary.
package stage
