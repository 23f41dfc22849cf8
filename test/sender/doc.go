// Package sender plays a sender of audit events that never gives up: a
// kube-apiserver's audit webhook, or an application that sends records of its own.
// It repeats what was not acknowledged, remembers what was, and then looks into the
// store: everything acknowledged must be there once and unaltered.
//
// What it sends follows from numbers alone, so that millions of events cost it a
// few bits each, and what must be stored of one can be made anew.
package sender
