#!/usr/bin/env python3
"""What a put and a get cost right after a third of a network died, as a line of JSON.

    bench/dht/third_dead.py libtorrent|bittorrent-dht|p2p [--processes 6] [--nodes 10] [--operations 30] [--together 6]
        [--silent 1]

Values of 200 bytes. A third of the processes is killed (SIGKILL; the system says so to who sends them something), or
with --silent 1 stopped, as machines fall silent on the Internet; then values are put, and values that were put before
are got, each at any node that lives, several at a time: what takes long here is waiting for the dead, not work.
"""

import hashlib
import json
import random
import signal

from network import each, get_job, is_got, is_put, network, options, put_job, text, told


def main():
    args = options(__doc__, processes=6, nodes=10, operations=30, together=6, silent=0)
    chance = random.Random(args.seed)
    drivers = network(args.client, args.processes, args.nodes)
    values = [text(chance, 200) for _ in range(args.operations)]
    before, seconds = each([put_job(chance, drivers, value) for value in values], 1)
    before = told(before, seconds, is_put)

    dying = drivers[1::3]
    for driver in dying:
        if args.silent:
            driver.process.send_signal(signal.SIGSTOP)
        else:
            driver.kill()
    living = [driver for driver in drivers if driver not in dying]
    new = [text(chance, 200) for _ in range(args.operations)]
    puts = told(*each([put_job(chance, living, value) for value in new], args.together), is_put)
    targets = [hashlib.sha1(f"{len(value)}:{value}".encode()).hexdigest() for value in values]
    jobs = [get_job(chance, living, target, value) for target, value in zip(targets, values)]
    gets = told(*each(jobs, args.together), is_got)
    dead = args.nodes * (args.processes - len(living))
    about = {"client": args.client, "nodes": args.nodes * args.processes, "dead": dead, "silent": bool(args.silent)}
    print(json.dumps({**about, "put_before": before, "put": puts, "get": gets}))
    for driver in drivers:
        driver.kill()


main()
