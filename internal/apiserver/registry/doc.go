// Package registry answers get and list of the served records: it turns a request
// into a query, asks the store, and turns what comes back into objects.
//
// There is one file per resource (audits.go, authaudits.go). What they share:
//
//   - selectors.go and labels.go read field and label selectors, span.go decides
//     what a list asks for and how far it may go, list.go asks and answers;
//   - object.go makes objects of records, splice.go writes the JSON of a list from
//     the stored documents without decoding them, answer.go holds both;
//   - failure.go turns every error into one that the API has.
package registry
