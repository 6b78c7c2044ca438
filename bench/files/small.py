#!/usr/bin/env python3
"""Many small files from one process to another: each is stored, the keeper starts again, each is fetched.

    python3 bench/files/small.py [--files 10000] [--bytes 10000]

Two peers in a ring, one copy of each file; all names belong to the first, and the second stores and fetches: with one
`p2p store`, and one `p2p request`. The processor time of each process is told.
"""

import argparse
import itertools
import os
import pathlib
import resource
import socket
import subprocess
import time

import peers

# Nothing here takes longer where it works.
SECONDS = 60


def answers(peer):
    """Whether its socket does."""
    path = pathlib.Path(os.environ["XDG_RUNTIME_DIR"]) / "p2p" / f"{peer.process.pid}.sock"
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(SECONDS)
        try:
            line.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        line.sendall(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return line.recv(4096).startswith(b"HTTP/1.1 200")


def processor_seconds(pid):
    """What a process has used, of its own and of the system's time."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(what, peer, others, count, words):
    """Has one command done at a peer, and prints how long it took."""
    pids = [peer.process.pid] + [other.process.pid for other in others]
    before, begun = [processor_seconds(pid) for pid in pids], time.monotonic()
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = subprocess.run([peers.P2P, *words, "--peer", str(peer.port)], stdout=subprocess.PIPE, check=True)
    seconds = time.monotonic() - begun
    assert len(told.stdout.splitlines()) == count
    used = [processor_seconds(pid) - then for pid, then in zip(pids, before)]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = after.ru_utime + after.ru_stime - own.ru_utime - own.ru_stime
    print(f"{what:<8} {seconds:6.2f} s  {count / seconds:6.0f} a second  {seconds / count * 1e3:.2f} ms each  "
          f"processor: the command {own:.1f} s, asked peer {used[0]:.1f} s, keeper {sum(used[1:]):.1f} s", flush=True)
    return seconds


def restart(network, peer, known):
    """Kills a peer and starts it again. The new one, and seconds until its socket answers."""
    peer.kill()
    begun = time.monotonic()
    again = peers.Peer(network, peer.port, known.port, peer.options, peer.folder)
    network.peers[network.peers.index(peer)] = again
    while time.monotonic() - begun < SECONDS:
        if answers(again):
            return again, time.monotonic() - begun
        time.sleep(0.001)
    raise SystemExit(f"peer {peer.port} did not start again: {again.lines[-3:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=10_000)
    options = parser.parse_args()
    peers.build()
    # Sockets have short paths, and other peers of this machine are none of ours.
    os.environ["XDG_RUNTIME_DIR"] = str(peers.folder())
    network = peers.Network(replicas=1)
    keeper, asker = network.start(), network.start()
    names = (f"{at}.bin" for at in itertools.count())
    names = list(itertools.islice((name for name in names if network.keepers(name)[0] is keeper), options.files))
    sources, got = peers.folder(), peers.folder()
    for seed, name in enumerate(names):
        # Around the mean, so that no two lengths in a row are the same.
        peers.noise(sources / name, options.bytes // 2 + seed * 7919 % options.bytes, seed)
    print(f"{options.files} files of {options.bytes} bytes; {peers.machine()}", flush=True)
    run("stored", asker, [keeper], len(names), ["store", *(str(sources / name) for name in names)])
    assert len(keeper.contents()) == options.files and not asker.contents()
    keeper, seconds = restart(network, keeper, asker)
    print(f"restarted with all of them: {seconds:.2f} s until its socket answers", flush=True)
    assert keeper.wait(lambda line: line.startswith("Join request has been accepted"), SECONDS)
    run("fetched", asker, [keeper], len(names), ["request", "-o", str(got), *names])
    wrong = [name for name in names if (sources / name).read_bytes() != (got / name).read_bytes()]
    print(f"{len(names) - len(wrong)} of {len(names)} files are the same", flush=True)
    assert not wrong
    network.end()


main()
