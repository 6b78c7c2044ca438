#!/usr/bin/env bash
# Installs the real clients that tests/interop.rs talks to into target/interop: libtorrent from PyPI in a virtual
# environment, bittorrent-dht from npm. Quick when they are there already.
set -euo pipefail
cd "$(dirname "$0")"
into=../../target/interop

# What comes from elsewhere may come at the third try.
again() { "$@" || { sleep 5 && "$@"; } || { sleep 20 && "$@"; }; }
fail() { echo "interop: $*; or set P2P_SKIP_INTEROP=1 to do without" >&2; exit 1; }

# What is installed is what these files say: their sums are written last.
wanted=$(cat requirements.txt package.json package-lock.json | sha1sum)
[ "$(cat $into/installed 2>/dev/null)" = "$wanted" ] && $into/venv/bin/python -c '' 2>/dev/null && exit

missing=()
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
# Debian's python3 comes without what makes environments.
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || fail "please install ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    { again apt-get update -q && again apt-get install -qy --no-install-recommends "${missing[@]}"; } >/dev/null \
        || fail "apt-get could not install ${missing[*]}"
fi

mkdir -p $into
rm -rf $into/venv $into/node_modules
{ python3 -m venv $into/venv && again $into/venv/bin/pip install -q -r requirements.txt; } \
    || fail "pip could not install $(cat requirements.txt)"
cp package.json package-lock.json $into
(cd $into && again npm ci --silent --no-audit --no-fund) || fail "npm could not install what package.json says"
echo "$wanted" >$into/installed
