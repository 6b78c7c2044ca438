"""What third_dead.py and values.py share: a network of real nodes in several processes, and how times are told."""

import argparse
import pathlib
import random
import string
import sys
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "interop"))
from driver import Driver  # noqa: E402


def options(about, **more):
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("client", choices=["libtorrent", "bittorrent-dht", "p2p"])
    parser.add_argument("--seed", type=int, default=1)
    for name, default in more.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


def network(client, processes, nodes):
    """Every process is told of one node of the first one."""
    first = Driver(client, nodes)
    return [first] + [Driver(client, nodes, bootstrap=first.addresses[:1]) for _ in range(processes - 1)]


def text(chance, length):
    """A value that no other run has, so long with its length before it."""
    length -= 4
    return "".join(chance.choices(string.ascii_letters, k=length))


def each(jobs, at_once):
    """What the jobs answer, in their order, and how many seconds they took together."""
    begun = time.monotonic()
    if at_once == 1:
        answers = [job() for job in jobs]
    else:
        with ThreadPoolExecutor(at_once) as pool:
            answers = list(pool.map(lambda job: job(), jobs))
    return answers, time.monotonic() - begun


def told(answers, seconds, is_good):
    """Percentiles in milliseconds of what went well; what did not is lost."""
    times = sorted(answer["ms"] for answer in answers if is_good(answer))
    at = lambda share: times[min(len(times) - 1, int(share * len(times)))] if times else None
    return {
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "max_ms": times[-1] if times else None,
        "a_second": round(len(answers) / seconds, 1),
        "lost": len(answers) - len(times),
    }


def somebody(chance, drivers):
    """Any node of those that live."""
    driver = chance.choice(drivers)
    return driver, chance.randrange(len(driver.ports))


def put_job(chance, drivers, value):
    driver, node = somebody(chance, drivers)
    return lambda: driver.ask("put", node=node, value=value, timeout_s=60)


def get_job(chance, drivers, target, value):
    driver, node = somebody(chance, drivers)

    def job():
        answer = driver.ask("get", node=node, target=target, timeout_s=60)
        return {**answer, "good": answer.get("value") == value}

    return job


def is_put(answer):
    return answer["ok"] and answer.get("copies", 0) > 0


def is_got(answer):
    return answer["good"]
