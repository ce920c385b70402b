#!/bin/bash
# Runs the tests: `tools/tests.sh PROCESSES PATH…`, with the .venv's Python.
# Live tests share two processors with hundreds of other processes. At most three that failed are run once more, alone:
# what fails again is red, and so is what it leaves behind, or what tests that passed have left; what passes then is
# named at the end as a race. A race is a defect of the test or of what it tests, to be mended; it is no reason to leave
# the rest of a change unlanded.
set -euo pipefail
exec </dev/null
cd "$(dirname "$0")/.."

MOST_AGAIN=3
FAILED=1 # pytest's exit code where tests failed, and nothing else went wrong
processes=$1
shift
cache=build/tests
failures=$cache/v/cache/lastfailed

tests() {
    .venv/bin/python -m pytest --alone -m "not slow" -o cache_dir="$cache" "$@"
}

rm -rf "$cache"
code=0
tests -n "$processes" --dist loadfile --no-loadscope-reorder --durations 10 "$@" || code=$?
if [ "$code" != "$FAILED" ] || [ ! -e "$failures" ]; then exit "$code"; fi
mapfile -t failed < <(.venv/bin/python -c 'import json, sys; print("\n".join(json.load(open(sys.argv[1]))))' "$failures")
if [ "${#failed[@]}" -gt "$MOST_AGAIN" ]; then exit "$code"; fi

echo "== once more, alone: ${#failed[@]} that failed beside others"
tests -p no:xdist "${failed[@]}" || exit $?
echo "== RACES: failed beside others (above), passed alone; mend them:"
printf '   %s\n' "${failed[@]}"
