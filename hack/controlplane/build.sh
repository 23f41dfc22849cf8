#!/usr/bin/env bash
# Builds the local control plane (etcd, kube-apiserver,
# kube-controller-manager, kubectl) from the Go module proxy.
#
#   hack/controlplane/build.sh [OUTDIR]      default: bin/controlplane
#
# Does nothing when OUTDIR already holds what go.mod, go.sum and this script
# describe. A cold build takes minutes, a warm one seconds.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$root/bin/controlplane}

fail() {
	printf 'controlplane: %s\n' "$*" >&2
	exit 1
}

command -v go >/dev/null 2>&1 || fail "go is not on PATH; install Go 1.26 or newer"
mkdir -p "$out" || fail "cannot create $out"
out=$(cd "$out" && pwd)

# One build at a time: two of them would race for the same files.
exec 9>"$out/.lock"
if command -v flock >/dev/null 2>&1; then
	flock 9 || fail "cannot lock $out/.lock"
fi

programs=(
	"etcd go.etcd.io/etcd/server/v3"
	"kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver"
	"kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager"
	"kubectl k8s.io/kubernetes/cmd/kubectl"
)

stamp=$({
	cat "$here/go.mod" "$here/go.sum" "$here/build.sh"
	go env GOVERSION GOOS GOARCH
} | git hash-object --stdin) || fail "cannot hash go.mod, go.sum and build.sh (is git on PATH?)"

up_to_date() {
	[ "$(cat "$out/.stamp" 2>/dev/null)" = "$stamp" ] || return 1
	local entry
	for entry in "${programs[@]}"; do
		[ -x "$out/${entry%% *}" ] || return 1
	done
}

if up_to_date; then
	printf 'controlplane: up to date in %s\n' "$out"
	exit 0
fi

# Without these the API server calls itself v0.0.0-master, and whatever
# compares versions (kubectl's skew check, emulated versions) misbehaves.
# client-go has a copy, from which it makes the user agent.
info=$(cd "$here" && go list -m -f '{{.Version}} {{.Time.UTC.Format "2006-01-02T15:04:05Z"}}' k8s.io/kubernetes) ||
	fail "cannot read the Kubernetes version from $here/go.mod"
read -r version date <<<"$info"
IFS=. read -r major minor _ <<<"${version#v}"
ldflags="-s -w"
for pkg in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
	ldflags+=" -X $pkg.gitVersion=$version -X $pkg.gitMajor=$major -X $pkg.gitMinor=$minor"
	ldflags+=" -X $pkg.gitCommit=unknown -X $pkg.gitTreeState=clean -X $pkg.buildDate=$date"
done

# tick rewrites one line with the time that has passed until the process ends.
tick() {
	local name=$1 pid=$2 start=$SECONDS
	while kill -0 "$pid" 2>/dev/null; do
		printf '\r%-24s building  %4ds' "$name" $((SECONDS - start))
		sleep 1
	done
	printf '\r'
}

build() {
	local name=$1 package=$2 log=$out/$1.log start=$SECONDS pid rc=0
	(cd "$here" && exec go build -mod=readonly -ldflags "$ldflags" -o "$out/$name.new" "$package") \
		>"$log" 2>&1 9>&- &
	pid=$!
	# Ctrl-C must not leave a compiler behind.
	trap 'kill '"$pid"' 2>/dev/null; exit 130' INT TERM
	if [ -t 1 ]; then tick "$name" "$pid"; fi
	wait "$pid" || rc=$?
	trap - INT TERM
	if [ "$rc" -ne 0 ]; then
		tail -n 5 "$log" >&2
		fail "building $name failed (exit $rc); its log is $log"
	fi
	mv -f "$out/$name.new" "$out/$name" || fail "cannot put $name into $out"
	rm -f "$log"
	printf '%-24s built in  %4ds\n' "$name" $((SECONDS - start))
}

rm -f "$out/.stamp"
for entry in "${programs[@]}"; do
	build "${entry%% *}" "${entry#* }"
done
printf '%s\n' "$stamp" >"$out/.stamp" || fail "cannot write $out/.stamp"
