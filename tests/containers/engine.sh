#!/usr/bin/env bash
# Runs a command with a Docker engine of its own: DOCKER_HOST leads to it.
#
#   tests/containers/engine.sh COMMAND…
#
# The engine lives in its own network namespace, with its own data and socket; when the command ends, all of it goes.
# Exit code 77: no engine can be had here (the reason is on standard error).
set -u

skip() {
    echo "skipped: $*" >&2
    exit 77
}

[ "$(id -u)" = 0 ] || skip "only root can start a Docker engine"
# What install.sh unpacked, if it had to.
own=$(cd "$(dirname "$0")/../.." && pwd)/target/engine
if [ -e "$own/complete" ]; then
    PATH=$own/usr/sbin:$own/usr/bin:$PATH
    libraries=$(find "$own/lib" "$own/usr/lib" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd :)
    export PATH LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi
for needed in dockerd containerd docker nsenter ip iptables; do
    command -v $needed >/dev/null || skip "there is no $needed (tests/containers/install.sh has it, from Debian)"
done

work=$(mktemp -d) || exit 1
namespace=p2p-engine-$$
pids=()

# Ends a process of ours, and waits for it; by force if it must be.
end() {
    kill "$1" 2>/dev/null
    for _ in $(seq 100); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    kill -9 "$1" 2>/dev/null
    wait "$1" 2>/dev/null
}

clean_up() {
    for pid in "${pids[@]}"; do end "$pid"; done
    # What the engine leaves mounted.
    grep -F "$work/" /proc/self/mounts | cut -d ' ' -f 2 | sort -r | while read -r mounted; do umount -l "$mounted"; done
    ip netns delete "$namespace" 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

ip netns add "$namespace" || skip "no network namespace can be made"
# Not "ip netns exec", which mounts another /sys: the engine would not find the control groups.
inside=(nsenter --net="/run/netns/$namespace")
"${inside[@]}" ip link set lo up

wait_for() {
    for _ in $(seq 300); do
        "$@" >/dev/null 2>&1 && return
        kill -0 "${pids[-1]}" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}

# Without a containerd of its own the engine takes the machine's.
"${inside[@]}" containerd --root "$work/containerd" --state "$work/state" --address "$work/containerd.sock" \
    --log-level error >"$work/containerd.log" 2>&1 &
pids+=($!)
wait_for test -S "$work/containerd.sock" || { tail -n 5 "$work/containerd.log" >&2; skip "containerd does not start"; }

export DOCKER_HOST=unix://$work/docker.sock DOCKER_BUILDKIT=0
"${inside[@]}" dockerd --host "$DOCKER_HOST" --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" \
    --containerd "$work/containerd.sock" --containerd-namespace "p2p-$$" --containerd-plugins-namespace "p2p-plugins-$$" \
    >"$work/dockerd.log" 2>&1 &
pids+=($!)
wait_for docker version || { tail -n 5 "$work/dockerd.log" >&2; skip "dockerd does not start"; }
# The engine ends before what it stands on.
pids=("${pids[1]}" "${pids[0]}")

"$@"
