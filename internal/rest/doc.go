// Package rest serves the two list endpoints of the original API: GET audits and
// GET auth_audits, with its parameters and its answers.
//
// A request was authenticated and authorized before it comes here. Which
// namespace it was authorized for is read from its RequestInfo, and nothing else
// decides what it may see: neither a parameter nor a page token widens it.
//
// Documents are passed on as the store holds them, without decoding: that would
// cost more than the search. The store's page is whole before the first byte of
// the answer is sent, so a failure is always an error and never half an answer.
//
// The parameters are in one table (endpoint.go). Reading them, the OpenAPI
// document and the tests of docs/rest.md all go by it.
package rest
