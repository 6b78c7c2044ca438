"""Starts the drivers of this folder and asks them, for the scripts that are run by hand.

The interpreters of target/interop are used, which install.sh makes.
"""

import json
import os
import pathlib
import subprocess
import threading

HERE = pathlib.Path(__file__).resolve().parent
INSTALLED = HERE.parent.parent / "target" / "interop"
WORDS = {
    "libtorrent": [INSTALLED / "venv/bin/python", "-W", "ignore", HERE / "libtorrent_node.py"],
    "bittorrent-dht": ["node", HERE / "bittorrent_dht_node.mjs"],
    # cargo build --release --example dht_driver
    "p2p": [INSTALLED.parent / "release/examples/dht_driver"],
}


class Driver:
    """One process with several nodes."""

    def __init__(self, client, count=1, address="127.0.0.1", bootstrap=()):
        words = [*WORDS[client], "--count", str(count), "--address", address, "--bootstrap", ",".join(bootstrap)]
        environment = {**os.environ, "INTEROP_MODULES": str(INSTALLED)}
        self.client, self.answers, self.last = client, {}, 0
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            list(map(str, words)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        ready = self.process.stdout.readline()
        if not ready:
            raise RuntimeError(f"{client} does not start: run tests/interop/install.sh")
        self.ports = json.loads(ready)["ports"]
        host = f"[{address}]" if ":" in address else address
        self.addresses = [f"{host}:{port}" for port in self.ports]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            with self.changed:
                self.answers[answer["id"]] = answer
                self.changed.notify_all()

    def ask(self, do, node=0, **more):
        """What the command answers, be it an error."""
        with self.changed:
            self.last += 1
            command = {"id": self.last, "do": do, "node": node, **more}
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
            limit = more.get("timeout_s", 30) + 10
            if not self.changed.wait_for(lambda: command["id"] in self.answers, limit):
                raise TimeoutError(f"{self.client} does not answer {command}")
            return self.answers.pop(command["id"])

    def kill(self):
        """Ends it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def memory_kib(self):
        """Memory it has now."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
