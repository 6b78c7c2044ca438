"""Real peers in processes of their own, for the measurements beside this file. All of them end with this program."""

import atexit
import hashlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
P2P = pathlib.Path(os.environ.get("P2P", ROOT / "target" / "release" / "p2p"))


def build():
    """The program, as it is shipped."""
    if "P2P" not in os.environ:
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)


# Below those that the system gives to callers, above those of the assignment.
_ports = iter(random.sample(range(15000, 30000), 10000))


def free_port():
    """A port that was free a moment ago, for UDP and TCP."""
    for port in _ports:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit("no port is free")


def noise(path, len_bytes, seed=1):
    chance = random.Random(seed)
    with open(path, "wb") as file:
        while len_bytes > 0:
            part = chance.randbytes(min(len_bytes, 1 << 20))
            file.write(part)
            len_bytes -= len(part)


def folder():
    path = tempfile.mkdtemp(prefix="p2p-bench-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return pathlib.Path(path)


def sha1(text):
    return int.from_bytes(hashlib.sha1(text.encode()).digest())


class Peer:
    """`p2p` at 127.0.0.1:port, in a folder of its own; its lines are kept with the time they came at."""

    def __init__(self, network, port, known, options=(), folder_=None):
        self.port, self.network = port, network
        self.folder = folder_ or network.root / str(port)
        self.folder.mkdir(exist_ok=True)
        address = f"127.0.0.1:{port}"
        if network.kademlia:
            words = ["join", "--kademlia", "--listen", address] + (["--remote", f"127.0.0.1:{known}"] if known else [])
        else:
            words = ["join", address, f"127.0.0.1:{known}", "1"] if known else ["init", address]
        self.options = list(options)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("P2P_")}
        environment["P2P_REPLICAS"] = str(network.replicas)
        command = [P2P] + words + self.options
        self.process = subprocess.Popen(
            command, cwd=self.folder, env=environment, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        atexit.register(self.kill)
        self.lines, self.heard = [], threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            with self.heard:
                self.lines.append((time.monotonic(), line.strip().removeprefix("> ")))
                self.heard.notify_all()

    def type(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait(self, is_it, seconds=20.0, since=0):
        """The first line since that is it, with its time; None after so many seconds."""
        end = time.monotonic() + seconds
        at = since
        with self.heard:
            while True:
                while at < len(self.lines):
                    if is_it(self.lines[at][1]):
                        return self.lines[at]
                    at += 1
                left = end - time.monotonic()
                if left <= 0 or not self.heard.wait(left):
                    return None

    def do(self, line, starts, seconds=120.0):
        """Types a line and waits for one that starts so. Seconds it took, and the line."""
        since, begun = len(self.lines), time.monotonic()
        self.type(line)
        found = self.wait(lambda text: text.startswith(tuple(starts)), seconds, since)
        return (found[0] - begun, found[1]) if found else (None, None)

    def store(self, name, seconds=300.0):
        last = pathlib.Path(name).name
        return self.do(f"Store {name}", [f"Stored {last}", f"File {last}"], seconds)

    def request(self, name, seconds=300.0):
        return self.do(f"Request {name}", [f"File {name} received", f"File {name} was", f"File {name}: "], seconds)

    def received(self, name):
        return self.folder / f"received_{name}"

    def contents(self):
        """The hashes of all contents in its store."""
        try:
            return set(os.listdir(self.folder / ".p2p" / str(self.port) / "content"))
        except FileNotFoundError:
            return set()

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def lives(self):
        return self.process.poll() is None


class Network:
    """Peers that know of one another. Each that is started is asked to have joined before it is returned."""

    def __init__(self, kademlia=False, replicas=3):
        self.kademlia, self.replicas = kademlia, replicas
        self.root, self.peers = folder(), []

    def start(self, *options):
        known = next((peer.port for peer in self.peers if peer.lives()), None)
        for _ in range(5):
            peer = Peer(self, free_port(), known, options)
            if known is None and not self.kademlia:
                self.peers.append(peer)
                return peer
            ready = peer.wait(lambda line: line.startswith(("Join request has been accepted", "Listening at", "Cannot")))
            if known and ready and ready[1].startswith("Listening"):
                ready = peer.wait(lambda line: line.startswith("Join request has been accepted"))
            # Somebody else may have taken the port meanwhile.
            if ready is None and known or ready and ready[1].startswith("Cannot"):
                peer.kill()
                continue
            self.peers.append(peer)
            return peer
        raise SystemExit(f"peer {peer.port} did not join: {peer.lines[-3:]}")

    def start_many(self, count, *options):
        self.start(*options)
        starting = [threading.Thread(target=self.start, args=options) for _ in range(count - 1)]
        for at in range(0, len(starting), 8):
            [thread.start() for thread in starting[at:at + 8]]
            [thread.join() for thread in starting[at:at + 8]]
        return self.peers

    def keepers(self, name):
        """Who keeps a name in a ring of hashed addresses, the owner first."""
        assert not self.kademlia
        after = lambda peer: (sha1(f"127.0.0.1:{peer.port}") - sha1(name)) % (1 << 160)
        return sorted(self.living(), key=after)

    def name_kept_by(self, keepers):
        """A name whose first keepers are these, in any order."""
        names = (f"{at}.bin" for at in range(100_000))
        return next(name for name in names if set(self.keepers(name)[:len(keepers)]) == set(keepers))

    def living(self):
        return [peer for peer in self.peers if peer.lives()]

    def end(self):
        [peer.kill() for peer in self.peers]
        shutil.rmtree(self.root, ignore_errors=True)


def machine():
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, load {load:.1f}"
