// Package ingest takes records in: from the audit webhook of a kube-apiserver
// (Receiver) and from files (Import). Both write to the store before they say
// that something was taken, and both may be given the same input twice.
//
// Nothing that came in is lost without a word. What cannot be stored, because it
// is no event or because the store refuses it for ever, is kept in a file of
// dead letters (or of rejects) with the reason; what cannot be stored now is
// refused as a whole, so that the sender tries again.
package ingest
