#!/usr/bin/env python3
"""A large file from one, two and three holders whose uplinks are limited; then a holder, then the requester, killed.

    python3 bench/files/holders.py [--mib 1024] [--rate-mib 20]

Ideal: all bytes at the sum of the limits. Fetched twice: what both runs of the killed requester wrote to the
disk together, beyond the file: the kernel's count for each process.
"""

import argparse
import filecmp
import pathlib
import shutil
import time

import peers


def written(peer):
    """Bytes that a process has written, to its files above all."""
    lines = pathlib.Path(f"/proc/{peer.process.pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


def network_of(options, source, holders):
    """So many holders, all with the file, and one who wants it; and the file's name."""
    network = peers.Network(replicas=holders)
    kept_by = [network.start("--limit-up", f"{options.rate_mib}M") for _ in range(holders)]
    asker = network.start()
    name = network.name_kept_by(kept_by)
    named = source.with_name(name)
    shutil.copyfile(source, named)
    # Not by a holder: its own uplink is limited.
    took, line = asker.store(str(named), 900)
    assert line and line.startswith("Stored"), line
    named.unlink()
    return network, asker, name


def wait_half(asker, before, len_bytes):
    while written(asker) - before < len_bytes / 2:
        time.sleep(0.01)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rate-mib", type=int, default=20)
    options = parser.parse_args()
    peers.build()
    source = peers.folder() / "source"
    peers.noise(source, options.mib << 20)
    len_bytes, rate = options.mib << 20, options.rate_mib << 20
    print(f"{options.mib} MiB, {options.rate_mib} MiB/s a holder; {peers.machine()}")
    for holders, event in [(1, None), (2, None), (3, None), (2, "holder"), (2, "requester")]:
        network, asker, name = network_of(options, source, holders)
        ideal = len_bytes / (holders * rate)
        before, begun = written(asker), time.monotonic()
        asker.type(f"Request {name}")
        note = ""
        if event == "holder":
            wait_half(asker, before, len_bytes)
            network.keepers(name)[1].kill()
            ideal = len_bytes / 2 / (2 * rate) + len_bytes / 2 / rate
            note = "  one of two holders killed at 50 %"
        if event == "requester":
            wait_half(asker, before, len_bytes)
            had = written(asker) - before
            asker.kill()
            killed_after = time.monotonic() - begun
            asker = peers.Peer(network, asker.port, network.peers[0].port, folder_=asker.folder)
            network.peers.append(asker)
            asker.wait(lambda line: line.startswith("Join request has been accepted"))
            before, begun = written(asker), time.monotonic()
            asker.type(f"Request {name}")
            ideal = (len_bytes - had) / (2 * rate)
            note = f"  requester killed after {killed_after:.1f} s at {had / len_bytes:.0%}, this is the rest"
        done = asker.wait(lambda line: line.startswith(f"File {name} received"), 600)
        assert done, asker.lines[-5:]
        seconds = done[0] - begun
        assert filecmp.cmp(source, asker.received(name), shallow=False)
        again = ""
        if event == "requester":
            twice = had + written(asker) - before - len_bytes
            again = f"  fetched twice: {twice / 1e6:.1f} MB"
        print(f"{holders} holders  {seconds:6.2f} s  ideal {ideal:6.2f} s  ratio {seconds / ideal:.3f}{note}{again}", flush=True)
        network.end()


main()
