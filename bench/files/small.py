"""Many small files from one process to another: each is stored, the keeper starts again, each is fetched.

    python3 bench/files/small.py [--files 10000] [--bytes 10000] [--threads 16]

Two peers in a ring, one copy of each file; all names belong to the first, and the second stores and fetches. Wishes
go to the second's socket, as programs give them. The processor time of each process is told, because this program,
too, runs on the cores that it measures.
"""

import argparse
import concurrent.futures
import http.client
import itertools
import json
import os
import pathlib
import socket
import threading
import time

import peers

# Nothing here takes longer where it works.
SECONDS = 60


class Line(http.client.HTTPConnection):
    """HTTP over the socket of a peer."""

    def __init__(self, peer):
        super().__init__("localhost", timeout=SECONDS)
        self.path = pathlib.Path(os.environ["XDG_RUNTIME_DIR"]) / "p2p" / f"{peer.process.pid}.sock"

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))

    def ask(self, route, wish=None):
        """The last object of the reply."""
        body = json.dumps(wish) if wish else None
        self.request("POST" if wish else "GET", route, body)
        return json.loads(self.getresponse().read().splitlines()[-1])


def processor_seconds(pid):
    """What a process has used, of its own and of the system's time."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def give_all(what, peer, others, route, wishes, threads):
    """Gives all wishes to a peer, so many at once, each thread over one line; prints how fast that was."""
    own = threading.local()

    def give(wish):
        own.line = getattr(own, "line", None) or Line(peer)
        last = own.line.ask(route, wish)
        assert last == {"event": "done", "outcome": "good"}, (wish, last)

    pids = [os.getpid(), peer.process.pid] + [other.process.pid for other in others]
    before, begun = [processor_seconds(pid) for pid in pids], time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        # Reading the outcomes raises what went wrong.
        for _ in pool.map(give, wishes):
            pass
    seconds = time.monotonic() - begun
    used = [processor_seconds(pid) - then for pid, then in zip(pids, before)]
    print(f"{what:<8} {seconds:6.2f} s  {len(wishes) / seconds:6.0f} a second  {seconds / len(wishes) * 1e3:.2f} ms each  "
          f"processor: this program {used[0]:.1f} s, asked peer {used[1]:.1f} s, keeper {sum(used[2:]):.1f} s", flush=True)


def restart(network, peer, known):
    """Kills a peer and starts it again. The new one, and seconds until its socket answers."""
    peer.kill()
    begun = time.monotonic()
    again = peers.Peer(network, peer.port, known.port, peer.options, peer.folder)
    network.peers[network.peers.index(peer)] = again
    while time.monotonic() - begun < SECONDS:
        try:
            assert Line(again).ask("/v1/status")["event"] == "done"
            return again, time.monotonic() - begun
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.001)
    raise SystemExit(f"peer {peer.port} did not start again: {again.lines[-3:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=16)
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
    print(f"{options.files} files of {options.bytes} bytes, {options.threads} at once; {peers.machine()}", flush=True)
    wishes = [{"path": str(sources / name), "name": name} for name in names]
    give_all("stored", asker, [keeper], "/v1/store", wishes, options.threads)
    assert len(keeper.contents()) == options.files and not asker.contents()
    keeper, seconds = restart(network, keeper, asker)
    print(f"restarted with all of them: {seconds:.2f} s until its socket answers", flush=True)
    assert keeper.wait(lambda line: line.startswith("Join request has been accepted"), SECONDS)
    wishes = [{"name": name, "path": str(got / name)} for name in names]
    give_all("fetched", asker, [keeper], "/v1/request", wishes, options.threads)
    wrong = [name for name in names if (sources / name).read_bytes() != (got / name).read_bytes()]
    print(f"{len(names) - len(wrong)} of {len(names)} files are the same", flush=True)
    assert not wrong
    network.end()


main()
