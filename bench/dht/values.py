#!/usr/bin/env python3
"""What putting and getting many values costs while nobody dies, as a line of JSON.

    bench/dht/values.py libtorrent|bittorrent-dht [--processes 5] [--nodes 10] [--values 1000]

Values of 200 to 900 bytes, put at any node and got at any other: one at a time, and others 32 at once.
"""

import hashlib
import json
import random

from network import each, get_job, is_got, is_put, network, options, put_job, text, told


def memory(drivers, nodes):
    return round(sum(driver.memory_kib() for driver in drivers) / nodes)


def main():
    args = options(__doc__, processes=5, nodes=10, values=1000)
    chance = random.Random(args.seed)
    drivers = network(args.client, args.processes, args.nodes)
    nodes = args.processes * args.nodes
    result = {"client": args.client, "nodes": nodes, "values": args.values, "memory_kib_a_node": memory(drivers, nodes)}
    for name, at_once in [("one", 1), ("32", 32)]:
        values = [text(chance, chance.randint(200, 900)) for _ in range(args.values)]
        puts = told(*each([put_job(chance, drivers, value) for value in values], at_once), is_put)
        targets = [hashlib.sha1(f"{len(value)}:{value}".encode()).hexdigest() for value in values]
        jobs = [get_job(chance, drivers, target, value) for target, value in zip(targets, values)]
        gets = told(*each(jobs, at_once), is_got)
        result[f"put_{name}"], result[f"get_{name}"] = puts, gets
    result["memory_kib_a_node_after"] = memory(drivers, nodes)
    print(json.dumps(result))
    for driver in drivers:
        driver.kill()


main()
