#!/usr/bin/env bash
# Has a Docker engine at hand for tests/containers: the machine's, or Debian's, unpacked into target/engine and not installed,
# so that nothing of the machine changes. Where there is none, the tests of containers say that they are skipped.
set -uo pipefail
cd "$(dirname "$0")/../.."
into=target/engine

# What comes from elsewhere may come at the third try.
again() { "$@" || { sleep 5 && "$@"; } || { sleep 20 && "$@"; }; }
without() { echo "no Docker engine: $*; tests of containers will be skipped" >&2; exit; }

command -v dockerd >/dev/null && command -v containerd >/dev/null && exit
[ -e $into/complete ] && exit
[ "$(id -u)" = 0 ] || without "only root can run one"
command -v apt-get >/dev/null || without "there is no dockerd, and no Debian to have it from"

# With the libraries that a small Debian lacks.
packages=(docker.io containerd runc tini libdevmapper1.02.1 libseccomp2)
rm -rf $into
mkdir -p $into/packages
fetch() { (cd $into/packages && apt-get download -q "${packages[@]}") >/dev/null 2>&1; }
fetch_anew() { apt-get update -q >/dev/null 2>&1; fetch; }
fetch || again fetch_anew || without "apt-get could not download ${packages[*]}"
for package in $into/packages/*.deb; do
    dpkg-deb -x "$package" $into || without "$package cannot be unpacked"
done
rm -r $into/packages
touch $into/complete
