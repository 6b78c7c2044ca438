#!/usr/bin/env python3
"""How many questions one node answers in a second, and what fifty nodes in one process weigh, for each client in turn.

    bench/dht/rates.py [SECONDS]
"""

import json
import subprocess
import sys

from network import Driver


def main():
    seconds = sys.argv[1] if len(sys.argv) > 1 else "3"
    for client in ["p2p", "libtorrent", "bittorrent-dht"]:
        driver = Driver(client, 50)
        weight = round(driver.memory_kib() / 50)
        # The fourth: neither the one that all others know nor the last one.
        words = ["cargo", "bench", "--quiet", "--bench", "dht_load", "--", driver.addresses[3], "all", seconds, "64", "2"]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        rates = {rate["method"]: rate["answers_a_second"] for rate in map(json.loads, told.splitlines())}
        print(json.dumps({"client": client, "memory_kib_a_node": weight, **rates}), flush=True)
        driver.kill()


main()
