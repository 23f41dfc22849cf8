"""Sends events with the generated client of the original API.

Usage: bulk.py HOST TOKEN CA < calls.json

The calls are a list of {"events": [{"unique_id", "create_time", "event"}]}. For
each it prints, as JSON in one line, what the client made of the answer:
{"type", "items", "status", "success", "discard", "retry", "delay"} with the events
of each list as dicts, or {"raised", "status", "retry_after", "body"} of the
exception that it raised.
"""

import importlib.util
import json
import os
import sys

sys.path.append(os.path.dirname(importlib.util.find_spec("agilicus").origin))

import agilicus_api  # noqa: E402
from agilicus_api.api import audits_api  # noqa: E402
from agilicus_api.model.audit_event import AuditEvent  # noqa: E402
from agilicus_api.model.audit_webhook_bulk_event import AuditWebhookBulkEvent  # noqa: E402
from dateutil.parser import parse  # noqa: E402


def call(api, events):
    events = [AuditEvent(unique_id=e["unique_id"], create_time=parse(e["create_time"]), event=e["event"]) for e in events]
    body = AuditWebhookBulkEvent(events=events, always_respond_with_events=True)
    try:
        answer, status, _ = api.bulk_create_events(body, _return_http_data_only=False)
    except agilicus_api.exceptions.ApiException as e:
        return {"raised": type(e).__name__, "status": e.status, "retry_after": e.headers.get("Retry-After"), "body": json.loads(e.body)}
    lists = {"success": answer.success_events, "discard": answer.discard_events, "retry": answer.retry_events}
    return {
        "type": type(answer).__name__,
        "status": status,
        "items": sorted({type(e).__name__ for events in lists.values() for e in events}),
        "delay": answer.get("retry_after_delay_seconds"),
        **{name: [e.to_dict() for e in events] for name, events in lists.items()},
    }


def main():
    host, token, ca = sys.argv[1:]
    configuration = agilicus_api.Configuration(host=host, access_token=token)
    configuration.ssl_ca_cert = ca
    with agilicus_api.ApiClient(configuration) as api_client:
        api = audits_api.AuditsApi(api_client)
        for c in json.load(sys.stdin):
            print(json.dumps(call(api, c["events"]), default=str), flush=True)


main()
