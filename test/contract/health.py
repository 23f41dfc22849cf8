"""Runs a health check of Argo CD.

Usage: health.py FILE < objects.json

The file holds the check in Lua, the input a list of objects. For each it prints,
as JSON in one line, the {"status", "message"} that the check returns.
"""

import json
import sys

from lupa.lua51 import LuaRuntime


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        script = file.read()
    for obj in json.load(sys.stdin):
        lua = LuaRuntime(register_eval=False, unpack_returned_tuples=True)
        lua.globals().obj = lua.table_from(obj, recursive=True)
        print(json.dumps(dict(lua.execute(script))), flush=True)


main()
