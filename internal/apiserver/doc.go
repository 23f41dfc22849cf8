// Package apiserver is the aggregated API server: it serves records of the store
// as the resources of records.auditquery.dev, and gives the original API's lists
// (a handler that it is given) the same authentication, authorization and limits.
//
// It is built in the stages of k8s.io/apiserver: Options (flags), Config (what
// only the program knows), Complete, Run. From the outside in a request meets
//
//   - gate.go: what must be refused before anybody is asked who they are or what
//     they may: a verb that records do not have, a tenancy that is not known yet,
//     a request whose meaning depends on how it is read;
//   - k8s.io/apiserver's own filters, which read what the request is about from
//     requestinfo.go;
//   - inflight.go: bounds what lists in flight may hold in memory;
//   - the resources (package registry), or the handler of the original API.
//
// Nothing but get and list of records depends on the store: not discovery, not
// OpenAPI, not health. An aggregated server that fails in those breaks discovery,
// the deletion of namespaces and GitOps tools for the whole cluster.
package apiserver
