#!/usr/bin/env bash
# Fetches the slim Elasticsearch server that the tests and the demo run
# against, from Maven, unpacks it, and adds the plugin in analysis/ without
# which it cannot make API keys.
#
#   hack/elasticsearch/fetch.sh [OUTDIR]      default: bin/elasticsearch
#
# Does nothing when OUTDIR already holds that version.
set -euo pipefail

version=8.19.7
artifact=org.elasticsearch.distribution.integ-test-zip:elasticsearch:$version:zip

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$root/bin/elasticsearch}

fail() {
	printf 'elasticsearch: %s\n' "$*" >&2
	exit 1
}

plugin=$here/analysis/SecurityAnalysis.java

stamp=$({
	printf '%s\n' "$artifact"
	cat "$here/fetch.sh" "$plugin"
} | git hash-object --stdin) || fail "cannot hash fetch.sh and the plugin (is git on PATH?)"

present() {
	[ "$(cat "$out/.stamp" 2>/dev/null)" = "$stamp" ] || return 1
	printf 'elasticsearch: %s is in %s\n' "$version" "$out"
}

if present; then exit 0; fi

command -v mvn >/dev/null 2>&1 || fail "mvn is not on PATH; install Maven (Debian: maven)"
for tool in java javac jar; do
	command -v "$tool" >/dev/null 2>&1 ||
		fail "$tool is not on PATH; install a JDK, 17 or newer (Debian: openjdk-17-jdk-headless)"
done

parent=$(dirname "$out")
mkdir -p "$parent" || fail "cannot create $parent"
parent=$(cd "$parent" && pwd)
out=$parent/$(basename "$out")

# One fetch at a time; the second then finds the first one's work.
exec 9>"$parent/.elasticsearch.lock"
if command -v flock >/dev/null 2>&1; then
	flock 9 || fail "cannot lock $parent/.elasticsearch.lock"
fi
if present; then exit 0; fi

# Everything is prepared beside OUTDIR and renamed into place, so that nobody
# ever sees half of it.
work=$(mktemp -d "$parent/.elasticsearch.XXXXXX") || fail "cannot create a directory in $parent"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

start=$SECONDS
printf 'elasticsearch: fetching %s (98 MB)\n' "$version"
log=$parent/elasticsearch-fetch.log
(cd "$work" && mvn -B -q dependency:copy "-Dartifact=$artifact" "-DoutputDirectory=$work/zip") \
	>"$log" 2>&1 || {
	tail -n 5 "$log" >&2
	fail "mvn could not fetch $artifact; its log is $log"
}
zip=$work/zip/elasticsearch-$version.zip
[ -s "$zip" ] || fail "mvn left no $(basename "$zip"); its log is $log"

mkdir "$work/unpacked"
# jar comes with every JDK, but it forgets modes.
(cd "$work/unpacked" && jar xf "$zip") >>"$log" 2>&1 || fail "cannot unpack $zip; the log is $log"
dist=$work/unpacked/elasticsearch-$version
[ -f "$dist/bin/elasticsearch" ] || fail "the archive has no bin/elasticsearch; has its layout changed?"

mkdir -p "$work/classes" "$dist/plugins/auditquery-analysis"
javac --release 17 -proc:none -cp "$dist/lib/*" -d "$work/classes" "$plugin" >>"$log" 2>&1 ||
	fail "cannot compile $plugin; the log is $log"
jar cf "$dist/plugins/auditquery-analysis/analysis.jar" -C "$work/classes" . >>"$log" 2>&1 ||
	fail "cannot pack the plugin; the log is $log"
cat >"$dist/plugins/auditquery-analysis/plugin-descriptor.properties" <<-END
	description=what the security index needs of analysis-common
	version=$version
	name=auditquery-analysis
	classname=auditquery.analysis.SecurityAnalysis
	java.version=17
	elasticsearch.version=$version
END

# The server runs as a user of its own when root starts it: that user has to
# read all of it and write none of it.
chmod +x "$dist"/bin/elasticsearch*
chmod -R u+rwX,go+rX,go-w "$dist" || fail "cannot set the modes in $dist"
printf '%s\n' "$stamp" >"$dist/.stamp"

if [ -e "$out" ]; then mv "$out" "$work/old" || fail "cannot move the old $out away"; fi
mv "$dist" "$out" 2>>"$log" || fail "cannot put $out into place; its log is $log"
rm -f "$log"
printf 'elasticsearch: %s in %s (%ds)\n' "$version" "$out" $((SECONDS - start))
