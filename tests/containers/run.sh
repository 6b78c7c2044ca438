#!/usr/bin/env bash
# Three containers on a network of their own: what is set at one is got at another, and still is when one is cut off.
#
#   tests/containers/engine.sh tests/containers/run.sh CONTEXT
#
# CONTEXT: a folder with the Dockerfile and what it takes (BINARY names the binary in it, where it is not the usual one).
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "failed: $*" >&2
    for name in one two three; do
        echo "--- $name" >&2
        docker logs --tail 20 $name >&2 || true
    done
    exit 1
}

# Tries for a minute.
eventually() {
    for _ in $(seq 120); do
        "$@" && return
        sleep 0.5
    done
    fail "not within a minute: $*"
}

knows() { [ "$(docker exec "$1" /p2p peers --json 2>/dev/null | grep -c '"event":"contact"')" -ge "$2" ]; }
gets() { [ "$(docker exec "$1" /p2p get "$2" --timeout 20 2>/dev/null)" = "$3" ]; }
is_healthy() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$1")" = healthy ]; }
start() { docker run -d --name "$1" --network ring -e P2P_REMOTE_HOST="$2" --read-only --cap-drop ALL \
    --tmpfs /run:uid=65532,gid=65532,mode=0700 -v "store-$1:/data" p2p >/dev/null; }

docker build -q ${BINARY:+--build-arg BINARY="$BINARY"} -t p2p "$1" >/dev/null
echo "image: $(docker image inspect -f '{{.Size}} bytes, user {{.Config.User}}, ports {{.Config.ExposedPorts}}' p2p)"

docker network create ring >/dev/null
# In the order that is worst: the others look for a name that nobody has yet.
start two one
start three one
start one ""
eventually knows one 2
eventually knows two 2
eventually knows three 2
echo "found one another by name"

docker exec one /p2p set motto 'carry on' >/dev/null || fail "set at one"
gets three motto 'carry on' || fail "got at three"
echo "set at one, got at three"

head -c 3000000 /dev/urandom >"$work/sent"
docker exec -i two /p2p store - --name report.pdf <"$work/sent" >/dev/null || fail "stored at two from standard input"
docker exec three /p2p request report.pdf -o - >"$work/came" || fail "requested at three"
cmp "$work/sent" "$work/came" || fail "the file came back as it went in"
echo "stored at two from standard input, came out at three"

docker network disconnect ring one
gets three motto 'carry on' || fail "got at three, one being cut off"
docker exec two /p2p set motto 'on we carry' >/dev/null || fail "set at two, one being cut off"
gets three motto 'on we carry' || fail "got at three, one being cut off"
echo "one cut off: set at two, got at three"

# At another address: somebody has the old one by now.
old=$(docker network inspect -f '{{range .Containers}}{{.IPv4Address}} {{end}}' ring)
docker run -d --name guest --network ring p2p >/dev/null
docker network connect ring one
echo "had: $old has: $(docker network inspect -f '{{range .Containers}}{{.Name}}={{.IPv4Address}} {{end}}' ring)"
eventually gets one motto 'on we carry'
echo "one is back at another address, and gets what was set meanwhile"

eventually is_healthy three
echo "three is healthy"
began=$(date +%s%N)
docker stop -t 10 three >/dev/null
took=$((($(date +%s%N) - began) / 1000000))
[ "$(docker inspect -f '{{.State.ExitCode}}' three)" = 0 ] || fail "three left politely"
echo "three left as process 1 within $took ms, exit code 0"
