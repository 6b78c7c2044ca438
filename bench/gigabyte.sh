#!/usr/bin/env bash
# A large file, Store at one process and Request at another over loopback, beside cp, socat (unverified) and a bare
# sendfile with BLAKE3 on arrival (examples/bare_copy.rs) of the same bytes.
# All times include that the bytes are on disk (fsync).
#
#   bench/gigabyte.sh [MIB=1024] [ROUNDS=5]
set -euo pipefail
cd "$(dirname "$0")/.."
mib=${1:-1024} rounds=${2:-5}
command -v socat >/dev/null || { echo "socat is missing: apt-get install socat" >&2; exit 1; }
cargo build --release -q --bin p2p --example bare_copy
target=${CARGO_TARGET_DIR:-$PWD/target}
p2p=$target/release/p2p bare=$target/release/examples/bare_copy
work=$(mktemp -d -p "${TMPDIR:-/tmp}")
pids=()
trap 'kill -9 "${pids[@]}" 2>/dev/null; rm -rf "$work"' EXIT
mkdir "$work/a" "$work/b"
base=$((20000 + RANDOM % 20000))
head -c "${mib}M" /dev/urandom >"$work/a/0150.bin"

# Peer 200 owns what lies at 101 to 200; peer 100 stores and requests.
start() { # NAME COMMAND...
    local name=$1; shift
    mkfifo "$work/$name.in"
    "$p2p" "$@" --dir "$work/$name" --base-port $base --replicas 1 <>"$work/$name.in" >"$work/$name.log" 2>&1 &
    pids+=($!); disown
}
start b init 200
start a join 100 200
until grep -q accepted "$work/a.log"; do sleep 0.02; done

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'; }
typed() { # LINE EXPECTED: seconds from typing LINE at a to the next EXPECTED
    local seen begin; seen=$(grep -c "$2" "$work/a.log" || true); begin=$(now)
    echo "$1" >"$work/a.in"
    until [ "$(grep -c "$2" "$work/a.log")" -gt "$seen" ]; do sleep 0.01; done
    since "$begin"
}
median() { sort -n | awk '{ a[NR]=$1 } END { print a[int((NR+1)/2)] }'; }

for ((round = 0; round < rounds; round++)); do
    begin=$(now); cp "$work/a/0150.bin" "$work/copy"; sync "$work/copy"; since "$begin" >>"$work/t.cp"; echo >>"$work/t.cp"
    rm "$work/copy"
    socat -u -b 262144 TCP-LISTEN:$((base + 300)),reuseaddr OPEN:"$work/copy",creat & listener=$!
    until [ -n "$(ss -Hltn "sport = :$((base + 300))")" ]; do sleep 0.01; done
    begin=$(now); socat -u -b 262144 OPEN:"$work/a/0150.bin" TCP:127.0.0.1:$((base + 300)); wait $listener; sync "$work/copy"
    since "$begin" >>"$work/t.socat"; echo >>"$work/t.socat"
    rm "$work/copy"
    "$bare" receive $((base + 301)) "$work/copy" >/dev/null & listener=$!
    until [ -n "$(ss -Hltn "sport = :$((base + 301))")" ]; do sleep 0.01; done
    begin=$(now); "$bare" send $((base + 301)) "$work/a/0150.bin"; wait $listener
    since "$begin" >>"$work/t.bare"; echo >>"$work/t.bare"
    rm "$work/copy"
    # Other bytes each time: what a keeper has already is not sent again.
    printf '%016d' $round | dd of="$work/a/0150.bin" conv=notrunc status=none
    typed "Store 0150" "Stored 0150" >>"$work/t.store"; echo >>"$work/t.store"
    typed "Request 0150" "File 0150 received" >>"$work/t.request"; echo >>"$work/t.request"
    cmp "$work/a/0150.bin" "$work/a/received_0150.pdf"
    rm "$work/a/received_0150.pdf"
done
cp=$(median <"$work/t.cp") bare=$(median <"$work/t.bare")
for what in cp socat bare store request; do
    median <"$work/t.$what" | awk -v w=$what -v c="$cp" -v s="$bare" '{ printf "%-8s %6.2f s   %.2f of cp   %.2f of bare\n", w, $1, $1/c, $1/s }'
done
for pid in "${pids[@]}"; do awk -v p="$pid" '/^VmHWM/ { printf "peak memory of a peer %.1f MB\n", $2/1024 }' "/proc/$pid/status"; done
