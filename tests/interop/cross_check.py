#!/usr/bin/env python3
"""Whether the real clients understand each other: the least that our own nodes are held to.

    cross_check.py [NODES=8]

Every operation, from each client to each, one of them having been bootstrapped from the other only. Prints a table.
"""

import hashlib
import secrets
import sys
import time

from driver import Driver


def eventually(look, limit=20):
    """The answer that is right, or the last one: announcing has no end that libtorrent tells."""
    end = time.monotonic() + limit
    while True:
        good, answer = look()
        if good or time.monotonic() > end:
            return good, answer
        time.sleep(0.1)


def operations(writer, reader):
    """(operation, whether it worked, what was seen) from one driver's nodes to the other's."""
    info_hash, port = secrets.token_hex(20), 1024 + secrets.randbelow(60000)
    announced = writer.ask("announce", node=1, info_hash=info_hash, port=port)
    host = writer.addresses[0].rsplit(":", 1)[0]

    def peers():
        found = reader.ask("get_peers", node=5, info_hash=info_hash)
        return f"{host}:{port}" in found.get("peers", []), found

    good, seen = eventually(peers)
    yield "announce, get_peers", good, (announced, seen)

    text = secrets.token_hex(100)
    put = writer.ask("put", node=2, value=text)
    target = hashlib.sha1(f"{len(text)}:{text}".encode()).hexdigest()
    got = reader.ask("get", node=6, target=target)
    yield "put, get", put.get("target") == target and got.get("value") == text, (put, got)

    for salt in ["", "salt"]:
        seed, words = secrets.token_hex(32), [secrets.token_hex(10), secrets.token_hex(10)]
        for seq, text in enumerate(words, 1):
            put = writer.ask("put_mutable", node=3, seed=seed, salt=salt, value=text)
            got = reader.ask("get_mutable", node=7, key=put.get("key", "00" * 32), salt=salt)
            good = (got.get("value"), got.get("seq"), put.get("seq")) == (text, seq, seq)
            name = f"mutable{', salt' if salt else ''}{', changed' if seq > 1 else ''}"
            yield name, good, (put, got)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    bad = 0
    print("| network | from | to | family | operation | ok | ms |\n|---|---|---|---|---|---|---|")
    for address, pairs in {
        "127.0.0.1": [
            ("libtorrent", None),
            ("bittorrent-dht", None),
            ("libtorrent", "bittorrent-dht"),
            ("bittorrent-dht", "libtorrent"),
        ],
        "::1": [("libtorrent", None)],
    }.items():
        for one, other in pairs:
            first = Driver(one, count, address)
            second = Driver(other, count, address, first.addresses[:1]) if other else None
            both = [first, second] if second else [first]
            family = "IPv6" if ":" in address else "IPv4"
            for writer in both:
                for reader in both:
                    for name, good, seen in operations(writer, reader):
                        took = " + ".join(f"{answer['ms']:.0f}" for answer in seen)
                        network = f"{one} + {other}" if other else one
                        mark = "yes" if good else "NO"
                        print(f"| {network} | {writer.client} | {reader.client} | {family} | {name} | {mark} | {took} |")
                        if not good:
                            bad += 1
                            print(f"{seen}", file=sys.stderr)
            for driver in both:
                driver.kill()
    sys.exit(bad > 0)


main()
