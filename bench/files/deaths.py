#!/usr/bin/env python3
"""kill -9 of a share of 50 real peers at once: what is found at once, what is lost, when all copies are there again.

    python3 bench/files/deaths.py [--kademlia] [--peers 50] [--files 200] [--replicas 3] [--shares 10,20,30,50]

Lost are files whose copies were all on peers that died; the theory beside them is C(N-R, K-R) / C(N, K) of tables.md.
Found at once: requests begun in the first ten seconds after the deaths, one for each file, spread over all survivors.
"""

import argparse
import hashlib
import math
import random
import time
from concurrent.futures import ThreadPoolExecutor

import peers


def copies(network, hashes):
    """How many living peers have each content on their disks."""
    count = dict.fromkeys(hashes, 0)
    for peer in network.living():
        for content in peer.contents():
            if content in count:
                count[content] += 1
    return count


def run(options, share, seed):
    chance = random.Random(seed)
    network = peers.Network(options.kademlia, options.replicas)
    network.start_many(options.peers)
    time.sleep(5)
    shelf = peers.folder()
    names = [f"file{at}.bin" for at in range(options.files)]
    for at, name in enumerate(names):
        peers.noise(shelf / name, options.bytes, seed * 1_000_003 + at)

    def store(job):
        at, peer = job
        for name in names[at::len(network.peers)]:
            took, line = peer.store(str(shelf / name))
            assert took is not None and line.startswith("Stored"), (name, line, peer.lines[-5:])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store, enumerate(network.peers)))
    everything = sorted(set().union(*(peer.contents() for peer in network.peers)))
    assert len(everything) == len(names), (len(everything), len(names))
    until(lambda: min(copies(network, everything).values()) >= options.replicas, 60)

    victims = chance.sample(network.peers, round(options.peers * share))
    begun = time.monotonic()
    for victim in victims:
        victim.process.kill()
    for victim in victims:
        victim.process.wait()
    left = copies(network, everything)
    lost = sum(1 for count in left.values() if count == 0)
    living = network.living()

    def ask(job):
        at, peer = job
        return [(name, *peer.request(name, 60)) for name in names[at::len(living)]]

    with ThreadPoolExecutor(len(living)) as pool:
        answers = [answer for answers in pool.map(ask, enumerate(living)) for answer in answers]
    asked_for = time.monotonic() - begun
    found = sum(1 for name, took, line in answers if line and line == f"File {name} received")
    slowest = max((took for _, took, line in answers if line and line.endswith("received")), default=0.0)
    wrong = sum(1 for peer in living for path in peer.folder.glob("received_*")
                if digest(path) != digest(shelf / path.name.removeprefix("received_")))
    kept = [content for content, count in left.items() if count]
    repaired = until(lambda: min(copies(network, kept).values()) >= min(options.replicas, len(living)), 180, begun)
    again = {name: living[at % len(living)] for at, name in enumerate(names)}
    later = sum(1 for name, peer in again.items() if (peer.request(name, 60)[1] or "").endswith("received"))
    n, k, r = options.peers, len(victims), options.replicas
    theory = math.comb(n - r, k - r) / math.comb(n, k) if k >= r else 0.0
    network.end()
    return dict(share=share, died=k, lost=lost, theory=theory * len(names), kept=len(kept), found=found, wrong=wrong,
                slowest=slowest, asked_for=asked_for, repaired=repaired, later=later)


def digest(path):
    return hashlib.blake2b(path.read_bytes()).digest()


def until(is_so, seconds, begun=None):
    begun = time.monotonic() if begun is None else begun
    while time.monotonic() < begun + seconds:
        if is_so():
            return time.monotonic() - begun
        time.sleep(0.2)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kademlia", action="store_true")
    for name, default in [("peers", 50), ("files", 200), ("replicas", 3), ("bytes", 100_000), ("seed", 1)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--shares", default="10,20,30,50")
    options = parser.parse_args()
    peers.build()
    print(f"{options.peers} peers, {options.files} files of {options.bytes} B, R = {options.replicas}, "
          f"{'Kademlia' if options.kademlia else 'ring'}, seed {options.seed}; {peers.machine()}")
    print("died   lost (theory)   found at once of kept   slowest   wrong   all copies again   found then")
    for share in [int(text) / 100 for text in options.shares.split(",")]:
        told = run(options, share, options.seed)
        repaired = f"{told['repaired']:.1f} s" if told["repaired"] else "not in 180 s"
        print(f"{told['died']:>4}   {told['lost']:>4} ({told['theory']:.1f})      "
              f"{told['found']:>6} of {told['kept']:<6} in {told['asked_for']:.1f} s   {told['slowest']:.2f} s   "
              f"{told['wrong']:>5}   {repaired:>16}   {told['later']} of {told['kept']}", flush=True)


main()
