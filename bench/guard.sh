#!/usr/bin/env bash
# Counts the instructions of fixed work and compares them with counts.txt: more than 5 % more fails.
# With `renew` it writes the counts instead.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "bench-guard: skipped, the counts in bench/counts.txt are those of Linux on x86_64"
    exit 0
fi
if ! command -v valgrind > /dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends valgrind > /dev/null
    else
        echo "bench-guard: valgrind is missing (Debian, Ubuntu: apt-get install valgrind)" >&2
        exit 1
    fi
fi

${CARGO:-cargo} build --quiet --locked --profile guard -p guard --example guard
program=${CARGO_TARGET_DIR:-target}/guard/examples/guard
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# The instructions below `counted`.
count() {
    valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*counted*' \
        --callgrind-out-file="$out/$1" "$program" "$1" > "$out/$1.log" 2>&1 || { cat "$out/$1.log" >&2; exit 1; }
    awk '$1 == "summary:" || $1 == "totals:" { count = $2 } END { print count + 0 }' "$out/$1"
}

if [ "${1:-}" = renew ]; then
    for work in encode profile map batch compress stitch receive; do
        echo "$work $(count "$work")"
    done > "$out/counts.txt"
    cp "$out/counts.txt" bench/counts.txt
    cat bench/counts.txt
    exit 0
fi

failed=0
while read -r work kept; do
    now=$(count "$work")
    awk -v work="$work" -v kept="$kept" -v now="$now" 'BEGIN {
        if (now < 1000) { printf "%s: nothing was counted\n", work; exit 1 }
        change = (now - kept) / kept * 100
        printf "%-8s %12d instructions, kept %12d, %+.1f %%\n", work, now, kept, change
        exit change > 5
    }' || failed=1
done < bench/counts.txt
if [ "$failed" = 1 ]; then
    echo "bench-guard: more than 5 % more instructions. Find the cause, or keep the new counts: make bench-renew" >&2
    exit 1
fi
