"""Runs the generated client of the original API against a server.

Usage: client.py HOST TOKEN [CA] < calls.json

The calls are a list of {"method", "arguments"}. For each it prints, as JSON in
one line, what the client made of the answer: {"limit", "records"} with the
records as dicts, or {"status", "body"} of the exception that it raised. Nothing
but HOST, TOKEN and the file of the CA is set: an existing program changes nothing
else.
"""

import importlib.util
import json
import os
import sys

# The SDK puts its own folder on the path, which is how its parts find each
# other. The rest of it is not needed and not installed.
sys.path.append(os.path.dirname(importlib.util.find_spec("agilicus").origin))

import agilicus_api  # noqa: E402
from agilicus_api.api import audits_api  # noqa: E402


def call(api, method, arguments):
    try:
        answer = getattr(api, method)(**arguments)
    except agilicus_api.exceptions.ApiException as e:
        body = e.body.decode() if isinstance(e.body, bytes) else e.body
        return {"raised": type(e).__name__, "status": e.status, "body": json.loads(body)}
    records = answer.get("audits") if method == "list_audits" else answer.get("auth_audits")
    return {
        "type": type(answer).__name__,
        "limit": answer.limit,
        "items": sorted({type(r).__name__ for r in records}),
        "records": [r.to_dict() for r in records],
    }


def main():
    host, token, *ca = sys.argv[1:]
    configuration = agilicus_api.Configuration(host=host, access_token=token)
    if ca:
        configuration.ssl_ca_cert = ca[0]
    with agilicus_api.ApiClient(configuration) as api_client:
        api = audits_api.AuditsApi(api_client)
        for c in json.load(sys.stdin):
            print(json.dumps(call(api, c["method"], c["arguments"]), default=str), flush=True)


main()
