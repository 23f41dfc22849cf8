"""Reads audit records with the official client of Kubernetes.

Usage: records.py HOST TOKEN CA < calls.json

The calls are a list of {"client", "kind", "resource", "namespace", "name",
"arguments", "follow"}. The client is "custom" (CustomObjectsApi), "dynamic"
(kubernetes.dynamic) or "table" (a request of one's own that asks for a Table).
For each it prints, as JSON in one line, what came back: {"kind", "pages", "items",
"metadata"} of a list that it followed to its end if "follow" is true, {"object"}
of one record, or {"raised", "status", "body"} of the exception that it raised.
"""

import json
import os
import sys
import tempfile

from kubernetes import client, dynamic

GROUP, VERSION = "records.auditquery.dev", "v1alpha1"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def custom(api_client, call, **arguments):
    api = client.CustomObjectsApi(api_client)
    namespace, resource = call.get("namespace"), call["resource"]
    if call.get("name"):
        return api.get_namespaced_custom_object(GROUP, VERSION, namespace, resource, call["name"])
    if namespace:
        return api.list_namespaced_custom_object(GROUP, VERSION, namespace, resource, **arguments)
    return api.list_cluster_custom_object(GROUP, VERSION, resource, **arguments)


def discovered(api_client, call, **arguments):
    with tempfile.TemporaryDirectory() as cache:
        api = dynamic.DynamicClient(api_client, cache_file=os.path.join(cache, "discovery.json"))
        resource = api.resources.get(api_version=f"{GROUP}/{VERSION}", kind=call["kind"])
        answer = resource.get(namespace=call.get("namespace"), name=call.get("name"), **arguments)
    return answer.to_dict()


def table(api_client, call, field_selector=None, label_selector=None, limit=None, _continue=None):
    namespace = f"/namespaces/{call['namespace']}" if call.get("namespace") else ""
    given = {"fieldSelector": field_selector, "labelSelector": label_selector, "limit": limit, "continue": _continue}
    method, url, headers, body, post = api_client.param_serialize(
        "GET", f"/apis/{GROUP}/{VERSION}{namespace}/{call['resource']}",
        query_params=[(k, v) for k, v in given.items() if v is not None],
        header_params={"Accept": TABLE}, auth_settings=["BearerToken"],
    )
    answer = api_client.call_api(method, url, headers, body, post)
    answer.read()
    if answer.status != 200:
        raise client.ApiException.from_response(http_resp=answer, body=answer.data.decode(), data=None)
    return json.loads(answer.data)


WAYS = {"custom": custom, "dynamic": discovered, "table": table}


def run(api_client, call):
    way, arguments = WAYS[call["client"]], call.get("arguments") or {}
    answer = way(api_client, call, **arguments)
    if call.get("name"):
        return {"object": answer}
    pages, items = [], []
    while True:
        rows = answer.get("rows") if call["client"] == "table" else answer["items"]
        pages.append(len(rows or []))
        items.extend(rows or [])
        token = answer["metadata"].get("continue")
        if not token or not call.get("follow"):
            break
        answer = way(api_client, call, **{**arguments, "_continue": token})
    columns = [c["name"] for c in answer.get("columnDefinitions") or []]
    return {
        "kind": answer["kind"], "pages": pages, "items": items, "columns": columns,
        "metadata": answer["metadata"], "truncation": answer.get("truncation"),
    }


def main():
    host, token, ca = sys.argv[1:]
    configuration = client.Configuration(host=host, api_key={"BearerToken": token}, api_key_prefix={"BearerToken": "Bearer"})
    configuration.ssl_ca_cert = ca
    with client.ApiClient(configuration) as api_client:
        for call in json.load(sys.stdin):
            try:
                outcome = run(api_client, call)
            except client.ApiException as e:
                body = e.body.decode() if isinstance(e.body, bytes) else e.body
                outcome = {"raised": type(e).__name__, "status": e.status, "body": json.loads(body)}
            print(json.dumps(outcome, default=str), flush=True)


main()
