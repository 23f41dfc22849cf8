package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// object is a JSON object. Its members are written in the order of their names,
// so that the document is the same each time.
type object = map[string]any

// Document returns the OpenAPI 3.1 document of the lists, as JSON. The copy in
// docs/openapi/rest.json is compared with it by a test.
func Document() ([]byte, error) {
	paths, schemas := object{}, object{"AuditAttribute": attributeSchema(), "Status": statusSchema()}
	for _, e := range endpoints() {
		paths[OwnPrefix+e.resource] = object{"get": e.operationObject(e.operation, nil)}
		paths[OwnPrefix+"namespaces/{namespace}/"+e.resource] = object{
			// The server's own address has no paths of namespaces.
			"servers": []any{groupServer()},
			"get":     e.operationObject(e.namespacedOperation, []any{namespaceParameter()}),
		}
		schemas[e.answer] = e.answerSchema()
		schemas[e.item] = recordSchema(e.kind)
	}
	document, err := encode(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "AuditQuery REST lists", "version": Version,
			"description": "Lists of audit records, newest first.",
			"license":     object{"name": "Apache 2.0", "identifier": "Apache-2.0"},
		},
		"servers": []any{
			object{"url": "/", "description": "The server's own address."}, groupServer(),
		},
		"security": []any{object{"token-valid": []string{}}},
		"tags":     []any{object{"name": "Audits", "description": "Audit records."}},
		"paths":    paths,
		"components": object{
			"schemas":   schemas,
			"responses": failureResponses(),
			"securitySchemes": object{"token-valid": object{
				"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
				"description": "The token of a ServiceAccount, or any other that the cluster accepts.",
			}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("OpenAPI document: %w", err)
	}
	return document, nil
}

func encode(document object) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(document)
	return out.Bytes(), err
}

func groupServer() object {
	return object{"url": "/apis/" + Group, "description": "Through the kube-apiserver."}
}

func namespaceParameter() object {
	return object{
		"name": "namespace", "in": "path", "required": true,
		"description": "The namespace whose records are listed.",
		"schema":      object{"type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
	}
}

func (e *endpoint) operationObject(id string, before []any) object {
	responses := object{"200": object{
		"description": "The newest records that match. There are more if there is a Link.",
		"headers": object{
			"Link": object{
				"description": `The next page, relative to the request: <?…&page_token=…>; rel="next".`,
				"schema":      object{"type": "string"},
			},
			"Warning": object{
				"description": "There are more records, but the parameters are too long for a page token.",
				"schema":      object{"type": "string"},
			},
		},
		"content": jsonOf(e.answer),
	}}
	for code := range failureCodes() {
		responses[code] = reference("responses", "Failure"+code)
	}
	parameters := before
	for _, p := range e.parameters {
		if p.use != refused {
			parameters = append(parameters, p.object())
		}
	}
	return object{
		"operationId": id, "summary": e.summary, "tags": []string{"Audits"},
		"parameters": parameters, "responses": responses,
	}
}

func (p parameter) object() object {
	schema := object{"type": "string"}
	switch {
	case p.use == pageSize:
		schema = object{"type": "integer", "minimum": 1, "maximum": MaxLimit, "default": DefaultLimit}
	case p.repeatable:
		schema = object{"type": "array", "maxItems": query.MaxValues, "items": object{"type": "string"}}
	case p.field == "source_ip":
		schema = object{"type": "string", "anyOf": []any{
			object{"format": "ipv4"}, object{"format": "ipv6"}, object{"maxLength": 0},
		}}
	}
	out := object{"name": p.name, "in": "query", "required": false, "description": p.description, "schema": schema}
	if p.repeatable {
		out["style"], out["explode"] = "form", true
	}
	if p.example != "" && !p.repeatable {
		out["example"] = p.example
	}
	return out
}

func (e *endpoint) answerSchema() object {
	return object{
		"type": "object", "required": []string{"limit", e.list},
		"properties": object{
			"limit": object{"type": "integer", "minimum": 1, "maximum": MaxLimit, "description": "The limit that held."},
			e.list: object{
				"type": "array", "maxItems": MaxLimit, "items": reference("schemas", e.item),
				"description": "The records, newest first.",
			},
		},
	}
}

func recordSchema(kind record.Kind) object {
	properties := object{}
	for _, f := range record.Fields(kind) {
		properties[f.Name] = fieldSchema(f)
	}
	return object{
		"type": "object", "required": []string{"id", "time", "ingest_time"}, "properties": properties,
		"description": "A field that a record does not have is left out.",
	}
}

func fieldSchema(f record.Field) object {
	switch {
	case f.Name == "id":
		return object{"type": "string", "pattern": "^[0-9a-f]{32}$"}
	case f.Name == "details":
		return object{"type": "object", "additionalProperties": true}
	case f.Name == "audit_attributes":
		return object{"type": "array", "maxItems": record.MaxAttributes, "items": reference("schemas", "AuditAttribute")}
	case f.Type == query.Integer:
		return object{"type": "integer", "format": "int64"}
	case f.Type == query.Time:
		return object{"type": "string", "format": "date-time"}
	default:
		return object{"type": "string"}
	}
}

func attributeSchema() object {
	properties := object{}
	for _, name := range []string{"attribute_type", "attribute_id", "attribute_org_id", "attribute_name"} {
		properties[name] = object{"type": "string"}
	}
	return object{"type": "object", "properties": properties, "description": "A further thing that the action concerned."}
}

func statusSchema() object {
	return object{
		"type": "object", "required": []string{"kind", "apiVersion", "status", "message", "code"},
		"description": "A failure, in the form of Kubernetes. details.causes names the parameter that is to blame.",
		"properties": object{
			"kind": object{"type": "string", "const": "Status"}, "apiVersion": object{"type": "string", "const": "v1"},
			"metadata": object{"type": "object"}, "status": object{"type": "string", "const": "Failure"},
			"message": object{"type": "string"}, "reason": object{"type": "string"},
			"code": object{"type": "integer"}, "details": object{"type": "object"},
		},
	}
}

// failureCodes says when each code is answered.
func failureCodes() map[string]string {
	return map[string]string{
		"400": "A parameter is wrong; the message names it.",
		"401": "The token is missing or wrong.",
		"403": "The permission is missing, or org_id is not one of the namespace's organisations.",
		"410": "The page token is older than 24 hours.",
		"414": "The query string is too long.",
		"429": "Too many requests at once.",
		"500": "The server failed in an unexpected way.",
		"503": "The store, or what is known of namespaces, is not available now.",
		"504": "The store did not answer in time.",
	}
}

func failureResponses() object {
	out := object{}
	for code, description := range failureCodes() {
		response := object{"description": description, "content": jsonOf("Status")}
		if slices.Contains([]string{"429", "503"}, code) {
			response["headers"] = object{"Retry-After": object{
				"description": "After how many seconds to ask again.", "schema": object{"type": "integer"},
			}}
		}
		out["Failure"+code] = response
	}
	return out
}

func jsonOf(schema string) object {
	return object{"application/json": object{"schema": reference("schemas", schema)}}
}

func reference(section, name string) object {
	return object{"$ref": "#/components/" + section + "/" + name}
}
