#!/usr/bin/env bash
# A full ring of idle peers on this machine: memory and processor time of each.
#
#   bench/idle.sh [PEERS=256] [SECONDS=60]
set -euo pipefail
cd "$(dirname "$0")/.."
peers=${1:-256} seconds=${2:-60}
cargo build --release -q
p2p=$PWD/target/release/p2p
work=$(mktemp -d)
pids=()
trap 'kill -9 "${pids[@]}" 2>/dev/null; rm -rf "$work"' EXIT

"$p2p" init 0 --dir "$work" --base-port 20000 </dev/null >"$work/0.log" 2>&1 & pids+=($!); disown
for ((n = 1; n < peers; n++)); do
    "$p2p" join $n 0 --dir "$work" --base-port 20000 </dev/null >"$work/$n.log" 2>&1 & pids+=($!); disown
    until grep -q accepted "$work/$n.log"; do sleep 0.02; done
done
echo "$peers peers have joined; measuring for $seconds s after 30 s of rest"
sleep 30

ticks() { awk '{ sum += $14 + $15 } END { print sum }' $(printf '/proc/%s/stat ' "${pids[@]}"); }
before=$(ticks)
sleep "$seconds"
after=$(ticks)
hz=$(getconf CLK_TCK)
awk -v t=$((after - before)) -v hz="$hz" -v s="$seconds" -v n="$peers" 'BEGIN {
    printf "processor  %.3f %% of a core each (%.1f %% all together)\n", 100*t/hz/s/n, 100*t/hz/s }'
for pid in "${pids[@]}"; do awk '/^VmRSS/ {r=$2} /^RssAnon/ {a=$2} END {print r, a}' "/proc/$pid/status"; done |
    sort -n | awk '{ r[NR]=$1; a[NR]=$2 } END { printf "memory     %.1f MB resident each (median; of it %.1f MB its own, the rest is shared program)\n", r[int(NR/2)+1]/1024, a[int(NR/2)+1]/1024 }'
echo "dead       $(cat "$work"/*.log | grep -c 'no longer alive' || true) peers declared dead meanwhile"
