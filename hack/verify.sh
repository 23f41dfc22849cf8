#!/usr/bin/env bash
# Checks what needs no test. Runs every check, then names those that failed.
#
#   hack/verify.sh [MODULE-DIR...]      default: the root module alone
#
# The tree may be dirty: generated files are compared with what they were
# before, not with what is committed.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
modules=("$@")
[ ${#modules[@]} -gt 0 ] || modules=(.)

scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

generated=(api config)

generated_files() {
	local path
	for path in "${generated[@]}"; do
		mkdir -p "$scratch/before/$(dirname "$path")" && cp -R "$path" "$scratch/before/$path" || return 1
	done
	make --no-print-directory generate manifests || return 1
	for path in "${generated[@]}"; do
		diff -ru "$scratch/before/$path" "$path" || {
			echo "generated files were out of date; they are now written anew"
			return 1
		}
	done
}

formatting() {
	local files unformatted
	files=$(git ls-files --cached --others --exclude-standard '*.go') || return 1
	# A file that was deleted but not committed is still listed.
	unformatted=$(while IFS= read -r file; do [ -f "$file" ] && printf '%s\0' "$file"; done <<<"$files" | xargs -0 -r gofmt -l) || return 1
	[ -z "$unformatted" ] || {
		printf 'not formatted (make fmt):\n%s\n' "$unformatted"
		return 1
	}
}

vet() { go vet ./...; }

lint() { make --no-print-directory lint; }

go_modules() {
	local module failed=0
	for module in "${modules[@]}"; do
		(cd "$module" && go mod tidy -diff) >"$scratch/tidy" 2>&1 || {
			head -n 40 "$scratch/tidy"
			echo "go.mod or go.sum of $module is not tidy (go mod tidy in $module)"
			failed=1
		}
	done
	return "$failed"
}

failed=()
for check in generated_files formatting vet lint go_modules; do
	printf 'verify: %s\n' "${check//_/ }"
	"$check" || failed+=("${check//_/ }")
done
if [ ${#failed[@]} -gt 0 ]; then
	printf 'verify: failed:'
	printf ' [%s]' "${failed[@]}"
	printf '\n'
	exit 1
fi
echo 'verify: all is well'
