#!/usr/bin/env bash
# Fetches what the contract tests run into a virtual environment of Python.
#
#   test/contract/fetch.sh [OUTDIR]      default: bin/contract
#
# Does nothing when OUTDIR already holds what requirements.txt names.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$root/bin/contract}

fail() {
	printf 'contract: %s\n' "$*" >&2
	exit 1
}

command -v python3 >/dev/null 2>&1 || fail "python3 is not on PATH; install Python 3.10 or newer (Debian: python3 python3-venv)"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
	fail "python3 is $(python3 -V 2>&1); 3.10 or newer is needed"

stamp=$({
	python3 -V
	cat "$here/fetch.sh" "$here/requirements.txt"
} | git hash-object --stdin) || fail "cannot hash fetch.sh and requirements.txt (is git on PATH?)"

present() {
	[ "$(cat "$out/.stamp" 2>/dev/null)" = "$stamp" ] || return 1
	printf 'contract: schemathesis and the clients are in %s\n' "$out"
}

if present; then exit 0; fi

parent=$(dirname "$out")
mkdir -p "$parent" || fail "cannot create $parent"
parent=$(cd "$parent" && pwd)
out=$parent/$(basename "$out")

# One fetch at a time; the second then finds the first one's work.
exec 9>"$parent/.contract.lock"
if command -v flock >/dev/null 2>&1; then
	flock 9 || fail "cannot lock $parent/.contract.lock"
fi
if present; then exit 0; fi

# A virtual environment holds its own path, so it is made where it stays; the
# stamp is written last.
rm -rf "$out"
start=$SECONDS
log=$parent/contract-fetch.log
python3 -m venv "$out" >"$log" 2>&1 || {
	tail -n 5 "$log" >&2
	fail "python3 cannot make a virtual environment (Debian: install python3-venv); its log is $log"
}
# --no-deps: requirements.txt names everything.
"$out/bin/python" -m pip install --disable-pip-version-check --no-input --no-deps --only-binary :all: \
	-r "$here/requirements.txt" >>"$log" 2>&1 || {
	tail -n 5 "$log" >&2
	fail "pip could not install requirements.txt; its log is $log"
}
printf '%s\n' "$stamp" >"$out/.stamp"
rm -f "$log"
printf 'contract: schemathesis and the clients in %s (%ds)\n' "$out" $((SECONDS - start))
