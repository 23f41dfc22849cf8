// Package openapi holds the OpenAPI definitions of the served records and of what
// they are made of. All else in it is generated. This file keeps the package whole
// for tools that pass over generated files.
package openapi
