#!/usr/bin/env python3
"""Several real libtorrent DHT nodes in one process, told what to do by lines of JSON.

    libtorrent_node.py [--count N] [--address 127.0.0.1|::1] [--port P] [--bootstrap HOST:PORT[,...]]

Commands come on standard input, answers go to standard output, one line of JSON each; README.md beside this file lists
them. It ends with its input. Commands run at the same time: an answer carries the "id" of its command.
"""

import argparse
import hashlib
import json
import os
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import libtorrent as lt

# On one machine all nodes share an address, and a test may be fast: without these libtorrent takes one node of an
# address into its table, asks one of an address in a lookup, and stops answering at 8 kB a second.
SETTINGS = {
    "enable_dht": True,
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_enforce_node_id": False,
    "dht_prefer_verified_node_ids": False,
    "dht_ignore_dark_internet": False,
    "dht_upload_rate_limit": 1_000_000_000,
    "dht_block_ratelimit": 1_000_000,
    "dht_max_dht_items": 100_000,
    "dht_max_torrents": 100_000,
    # Samples are chosen anew only once in this many seconds.
    "dht_sample_infohashes_interval": 0,
    # Never the real network.
    "dht_bootstrap_nodes": "",
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_tcp": False,
    "alert_queue_size": 100_000,
    "alert_mask": lt.alert.category_t.dht_notification
    | lt.alert.category_t.dht_operation_notification
    | lt.alert.category_t.status_notification,
}


def endpoint(text):
    """('::1', 6881) from '[::1]:6881'."""
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def text_of(address):
    """'[::1]:6881' from ('::1', 6881)."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def public_key(expanded):
    """The Ed25519 public key of an expanded private one, as in RFC 8032: the binding has no function for it."""
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p
    y = 4 * pow(5, -1, p) % p
    x = 15112221349535400772501151409588531511454012693041857206046113283949847762202
    base = (x, y, 1, x * y % p)

    def add(one, other):
        a = (one[1] - one[0]) * (other[1] - other[0])
        b = (one[1] + one[0]) * (other[1] + other[0])
        c = 2 * one[3] * other[3] * d
        e = 2 * one[2] * other[2]
        e, f, g, h = b - a, e - c, e + c, b + a
        return e * f % p, g * h % p, f * g % p, e * h % p

    scalar, total = int.from_bytes(expanded[:32], "little"), (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = add(total, base)
        base, scalar = add(base, base), scalar >> 1
    inverse = pow(total[2], -1, p)
    x, y = total[0] * inverse % p, total[1] * inverse % p
    return (y | (x & 1) << 255).to_bytes(32, "little")


def expand(seed):
    """The 64-byte private key that libtorrent wants."""
    key = bytearray(hashlib.sha512(seed).digest())
    key[0] &= 248
    key[31] = key[31] & 63 | 64
    return bytes(key)


def plain(item):
    """The text of an item: None when nothing was found, which the binding gives as an empty one."""
    return item.decode(errors="replace") if isinstance(item, bytes) and item else None


class Node:
    """One session: a node of the DHT with a socket of its own."""

    def __init__(self, address, port):
        at = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        self.address, self.port = address, None
        self.waiting = threading.Condition()
        self.asking = threading.Lock()
        self.news = []
        self.session = lt.session({**SETTINGS, "listen_interfaces": at})
        threading.Thread(target=self._listen, daemon=True).start()
        self.port = self.wait("listening", None, time.monotonic() + 10)["port"]

    def _listen(self):
        """Copies what alerts say: they are gone with the next ones."""
        while True:
            self.session.wait_for_alert(1000)
            news = [told for told in map(self._told, self.session.pop_alerts()) if told]
            with self.waiting:
                self.news += news
                # Nobody waits for more than this.
                del self.news[:-10_000]
                self.waiting.notify_all()

    def _told(self, alert):
        kind = type(alert).__name__
        if kind == "listen_succeeded_alert" and "[uTP]" in alert.message():
            return "listening", None, {"port": alert.port}
        if kind == "dht_get_peers_reply_alert":
            return "peers", str(alert.info_hash), {"peers": [text_of(peer) for peer in alert.peers()]}
        if kind == "dht_stats_alert":
            # A lookup has no other end that is told.
            nodes = sum(bucket["num_nodes"] for bucket in alert.routing_table)
            return "stats", None, {"lookups": len(alert.active_requests), "nodes": nodes}
        if kind == "dht_put_alert" and any(alert.public_key):
            told = {"seq": alert.seq, "copies": alert.num_success}
            return "put", bytes(alert.public_key).hex() + bytes(alert.salt).hex(), told
        if kind == "dht_put_alert":
            return "put", str(alert.target), {"copies": alert.num_success}
        if kind == "dht_immutable_item_alert":
            return "item", str(alert.target), {"value": plain(alert.item)}
        if kind == "dht_mutable_item_alert" and alert.authoritative:
            key = bytes(alert.key).hex() + bytes(alert.salt).hex()
            return "item", key, {"value": plain(alert.item), "seq": alert.seq}
        if kind == "dht_sample_infohashes_alert":
            samples = [str(sample) for sample in alert.samples]
            nodes = [text_of(node["endpoint"]) for node in alert.nodes]
            told = {"samples": samples, "num": alert.num_infohashes, "nodes": nodes}
            return "samples", text_of(alert.endpoint), told
        return None

    def wait(self, kind, key, limit):
        """Takes the first news of this kind about this key."""
        with self.waiting:
            while True:
                for index, told in enumerate(self.news):
                    if told[:2] == (kind, key):
                        return self.news.pop(index)[2]
                if not self.waiting.wait(limit - time.monotonic()):
                    raise TimeoutError(f"no {kind} in time")

    def forget(self, kind, key):
        """Drops what is left of an earlier command about the same key."""
        with self.waiting:
            self.news = [told for told in self.news if told[:2] != (kind, key)]

    def stats(self, limit):
        """How many lookups are on their way, and how many nodes are in the table."""
        with self.asking:
            self.session.post_dht_stats()
            return self.wait("stats", None, limit)

    def lookups_end(self, limit):
        """Waits until the node asks nobody."""
        while self.stats(limit)["lookups"]:
            time.sleep(0.005)

    def settle(self, limit):
        """Fills the table, which begins with those that were added and grows with every lookup only."""
        while not self.stats(limit)["nodes"]:
            time.sleep(0.01)
        for _ in range(3):
            self.session.dht_get_peers(lt.sha1_hash(os.urandom(20)))
            try:
                # Where some are dead, a lookup takes 15 s, but has met the others by then.
                self.lookups_end(time.monotonic() + 1)
            except TimeoutError:
                return


class Driver:
    """The nodes of this process, and what can be asked of them."""

    def __init__(self, count, address, port, bootstrap):
        self.nodes = []
        for index in range(count):
            node = Node(address, port + index if port else 0)
            # The first is known to all others, so that they are one network without any bootstrap.
            known = bootstrap or [(address, first.port) for first in self.nodes[:1]]
            # As routers (`dht_bootstrap_nodes`) they would be asked, but never be in the table.
            for at in known:
                node.session.add_dht_node(at)
            self.nodes.append(node)
        limit = time.monotonic() + 10
        with ThreadPoolExecutor(count) as pool:
            # A TimeoutError here says that nobody answers at `bootstrap`.
            list(pool.map(lambda node: node.settle(limit), self.nodes[0 if bootstrap else 1 :]))

    def obey(self, command):
        """What a command answers; a TimeoutError says that it took too long."""
        node = self.nodes[command.get("node", 0)]
        limit = time.monotonic() + command.get("timeout_s", 30)
        return getattr(self, "do_" + command["do"])(node, command, limit)

    def do_ports(self, *_):
        return {"ports": [node.port for node in self.nodes]}

    def do_nodes(self, node, _command, limit):
        return {"nodes": node.stats(limit)["nodes"]}

    def do_add(self, node, command, _limit):
        node.session.add_dht_node(endpoint(command["addr"]))
        return {}

    def do_announce(self, node, command, limit):
        # 2: the port is the one that it is sent from.
        port = command.get("port", 0)
        node.session.dht_announce(lt.sha1_hash(bytes.fromhex(command["info_hash"])), port, 0 if port else 2)
        node.lookups_end(limit)
        return {}

    def do_get_peers(self, node, command, limit):
        key = command["info_hash"]
        node.forget("peers", key)
        node.session.dht_get_peers(lt.sha1_hash(bytes.fromhex(key)))
        node.lookups_end(limit)
        peers = set()
        with node.waiting:
            for kind, of, told in node.news:
                if (kind, of) == ("peers", key):
                    peers.update(told["peers"])
        return {"peers": sorted(peers)}

    def do_put(self, node, command, limit):
        target = str(node.session.dht_put_immutable_item(command["value"].encode()))
        return {"target": target, **node.wait("put", target, limit)}

    def do_get(self, node, command, limit):
        target = command["target"]
        node.forget("item", target)
        node.session.dht_get_immutable_item(lt.sha1_hash(bytes.fromhex(target)))
        return node.wait("item", target, limit)

    def do_put_mutable(self, node, command, limit):
        secret = expand(bytes.fromhex(command["seed"]) if command.get("seed") else os.urandom(32))
        key, salt = public_key(secret), command.get("salt", "").encode()
        node.forget("put", key.hex() + salt.hex())
        node.session.dht_put_mutable_item(secret, key, command["value"].encode(), salt)
        told = node.wait("put", key.hex() + salt.hex(), limit)
        return {"key": key.hex(), "target": hashlib.sha1(key + salt).hexdigest(), **told}

    def do_get_mutable(self, node, command, limit):
        key, salt = bytes.fromhex(command["key"]), command.get("salt", "").encode()
        node.forget("item", key.hex() + salt.hex())
        node.session.dht_get_mutable_item(key, salt)
        return node.wait("item", key.hex() + salt.hex(), limit)

    def do_sample(self, node, command, limit):
        target = lt.sha1_hash(bytes.fromhex(command.get("target", "00" * 20)))
        at = endpoint(command["addr"])
        node.session.dht_sample_infohashes(at, target)
        return node.wait("samples", text_of(at), limit)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bootstrap", default="")
    args = parser.parse_args()
    bootstrap = [endpoint(text) for text in args.bootstrap.split(",") if text]
    driver = Driver(args.count, args.address, args.port, bootstrap)
    writing = threading.Lock()

    def say(answer):
        with writing:
            print(json.dumps(answer), flush=True)

    def run(command):
        begun = time.monotonic()
        answer = {name: command[name] for name in ("id", "do", "node") if name in command}
        try:
            answer |= {"ok": True, **driver.obey(command)}
        except Exception as error:
            answer |= {"ok": False, "error": f"{type(error).__name__}: {error}"}
        say({**answer, "ms": round((time.monotonic() - begun) * 1000, 3)})

    say({"event": "ready", "ports": driver.do_ports()["ports"]})
    with ThreadPoolExecutor(64) as pool:
        for line in sys.stdin:
            command = json.loads(line)
            if command["do"] == "quit":
                break
            pool.submit(run, command)
    # Sessions say goodbye to trackers and wait for it; there is nothing to lose here.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
