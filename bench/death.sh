#!/usr/bin/env bash
# How long after a kill -9 its predecessor prints "is no longer alive", at several ping intervals.
#
#   bench/death.sh [ROUNDS=5] [INTERVAL ...=1 5 15 30]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
shift || true
intervals=("${@:-1}")
[ $# -gt 0 ] || intervals=(1 5 15 30)
cargo build --release -q
p2p=$PWD/target/release/p2p
work=$(mktemp -d)
pids=()
trap 'kill -9 "${pids[@]}" 2>/dev/null; rm -rf "$work"' EXIT
now() { date +%s.%N; }

for interval in "${intervals[@]}"; do
    for ((round = 0; round < rounds; round++)); do
        base=$((20000 + RANDOM % 20000)) pids=()
        for ring in "2 4 5" "4 5 8" "5 8 9" "8 9 14" "9 14 19" "14 19 2" "19 2 4"; do
            set -- $ring
            "$p2p" init "$@" "$interval" --dir "$work" --base-port $base </dev/null >"$work/$1.log" 2>&1 & pids+=($!); disown
        done
        # Any point of the interval: chance decides how long it was since the last round.
        sleep "$(awk -v i="$interval" -v r=$RANDOM 'BEGIN { print 3 + i * r / 32768 }')"
        killed=$(now)
        kill -9 "${pids[5]}"
        until grep -q "14 is no longer alive" "$work/9.log"; do sleep 0.01; done
        awk -v a="$killed" -v b="$(now)" 'BEGIN { printf "%.2f ", b - a }'
        kill -9 "${pids[@]}" 2>/dev/null || true
        sleep 0.1
    done
    echo " seconds, interval $interval"
done
