#!/usr/bin/env bash
# Installs what the tests need, and runs every test.
#
#   ./test.sh            format, lints, documentation, all tests: under 15 minutes on two cores from nothing
#   ./test.sh nightly    also the long proofs (many seeds, long intervals, gigabytes)
set -euo pipefail
cd "$(dirname "$0")"

# What comes from elsewhere may come at the third try.
again() { "$@" || { sleep 5 && "$@"; } || { sleep 20 && "$@"; }; }
say() { printf '\n== %s (after %d s)\n' "$*" $SECONDS; }

command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 1; }

say "What the tests need"
# Rust; the real DHT clients of tests/interop (P2P_SKIP_INTEROP=1: without); and as root some small programs, for the tests of
# full and failing disks, power cuts, forged senders, published ports, containers and the examples of the pages. Without root
# or without a program these say that they are skipped.
rustup target list --installed 2>/dev/null | grep -q wasm32-unknown-unknown || again rustup target add wasm32-unknown-unknown
missing=()
for need in curl:curl ip:iproute2 iptables:iptables mkfs.ext4:e2fsprogs nsenter:util-linux pgrep:procps; do
    command -v "${need%:*}" >/dev/null || missing+=("${need#*:}")
done
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    { again apt-get update -q && again apt-get install -qy --no-install-recommends "${missing[@]}"; } >/dev/null \
        || echo "apt-get could not install ${missing[*]}: what needs them will be skipped" >&2
fi
tests/containers/install.sh
[ -n "${P2P_SKIP_INTEROP+set}" ] || tests/interop/install.sh

say "Format"
cargo fmt --check

say "Lints"
cargo clippy --locked --all-targets -- -D warnings

say "The pure floors compile for wasm"
cargo check --locked --lib --no-default-features --target wasm32-unknown-unknown

say "Documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

say "Tests"
# Most tests of real processes wait: more of them at once than there are cores.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-6}
# One run tells of all that fail.
if [ "${1:-}" = nightly ]; then
    cargo test --locked --no-fail-fast --release -- --include-ignored
else
    cargo test --locked --no-fail-fast
fi
