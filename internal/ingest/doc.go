// Package ingest is the door through which records come in: the HTTP server that
// takes them from kube-apiserver's audit webhook, from clients of the original
// API's bulk call, and from log shippers.
//
// A request's body is decoded as it arrives. Each record is mapped, given its
// identity, normalised and prepared (package record) before it goes into the
// spool (package spool), so that what is wrong with it is known when the sender is
// answered, and so that nothing has to be decoded on the way to the store (package
// ship). What gives no record is kept with the reason (package deadletter). A
// request is answered with 2xx when all of it is durable on this machine's disk;
// the store may be away meanwhile.
//
// From the front to the back: Server accepts connections, Receiver gives each
// request its place, its time and its share of memory (package budget) and asks
// who sends (package auth), a way (kubernetes.go, bulk.go, records.go) reads the
// body, and delivery brings what it finds into the spool.
package ingest
