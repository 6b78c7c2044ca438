"""One file to N peers that all want it at once, with limited uplinks: measured, beside the two bounds of the textbook.

    python3 bench/files/distribute.py [--mb 64] [--uplink-mib 2] [--peers 1,2,5,10,20,30] [--out docs/distribute]

The one that has the file sends at u_s = 10 u, everybody else at u; downlinks are not limited. Written are OUT.csv and
OUT.svg. Client-server: N F / u_s. Peer to peer: max(F / u_s, N F / (u_s + N u)).
"""

import argparse
import filecmp
import pathlib
import time

import peers


def measure(options, count):
    """Seconds from the moment when all ask to that when the last has it."""
    network = peers.Network(replicas=1)
    seed = network.start("--limit-up", f"{10 * options.uplink_mib}M")
    takers = [network.start("--limit-up", f"{options.uplink_mib}M") for _ in range(count)]
    name = network.name_kept_by([seed])
    source = peers.folder() / name
    peers.noise(source, options.mb * 1_000_000, seed=count)
    assert (seed.store(str(source))[1] or "").startswith("Stored")
    assert len(seed.contents()) == 1
    begun = time.monotonic()
    for taker in takers:
        taker.type(f"Request {name}")
    ends = [taker.wait(lambda line: line.startswith(f"File {name} received"), 900) for taker in takers]
    assert all(ends), [taker.lines[-3:] for taker, end in zip(takers, ends) if not end]
    assert all(filecmp.cmp(source, taker.received(name), shallow=False) for taker in takers)
    network.end()
    return max(end[0] for end in ends) - begun


def chart(rows, path):
    """Three curves over N."""
    width, height, left, bottom = 640, 400, 60, 40
    most_n, most_s = max(row[0] for row in rows), max(max(row[1:4]) for row in rows)
    at = lambda n, s: (left + (width - left - 20) * n / most_n, height - bottom - (height - bottom - 30) * s / most_s)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/>']
    for tick in range(0, most_n + 1, 5):
        x, y = at(tick, 0)
        lines.append(f'<text x="{x:.0f}" y="{y + 16:.0f}" text-anchor="middle">{tick}</text>')
    step = max(1, round(most_s / 50) * 10)
    for tick in range(0, int(most_s) + 1, step):
        x, y = at(0, tick)
        lines.append(f'<text x="{x - 6:.0f}" y="{y + 4:.0f}" text-anchor="end">{tick}</text>')
        lines.append(f'<line x1="{x:.0f}" y1="{y:.0f}" x2="{width - 20}" y2="{y:.0f}" stroke="#ddd"/>')
    lines.append(f'<text x="{width / 2}" y="{height - 6}" text-anchor="middle">peers that want the file</text>')
    lines.append(f'<text x="{left}" y="16">seconds until the last one has it</text>')
    for column, colour, label in [(3, "#999", "client-server, bound"), (2, "#37c", "peer to peer, bound"), (1, "#c33", "p2p, measured")]:
        points = [at(row[0], row[column]) for row in rows]
        lines.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="'
                     + " ".join(f"{x:.1f},{y:.1f}" for x, y in points) + '"/>')
        lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        lines.append(f'<text x="{left + 20}" y="{20 + 18 * column}" fill="{colour}">{label}</text>')
    pathlib.Path(path).write_text("\n".join(lines + ["</svg>"]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=64)
    parser.add_argument("--uplink-mib", type=int, default=2)
    parser.add_argument("--peers", default="1,2,5,10,20,30")
    parser.add_argument("--out", default=str(peers.ROOT / "docs" / "distribute"))
    options = parser.parse_args()
    peers.build()
    print(f"{options.mb} MB, u = {options.uplink_mib} MiB/s, u_s = 10 u; {peers.machine()}")
    rows = []
    for count in map(int, options.peers.split(",")):
        seconds = measure(options, count)
        f, u = options.mb * 1e6, options.uplink_mib * 1024 * 1024
        bound = max(f / (10 * u), count * f / (10 * u + count * u))
        rows.append((count, seconds, bound, count * f / (10 * u)))
        print(f"N = {count:>2}: {seconds:6.2f} s   peer to peer {bound:6.2f} s, ratio {seconds / bound:.2f}   "
              f"client-server {rows[-1][3]:6.2f} s", flush=True)
    text = "n,measured_s,peer_to_peer_bound_s,client_server_bound_s\n"
    text += "".join(f"{n},{measured:.2f},{p2p:.2f},{cs:.2f}\n" for n, measured, p2p, cs in rows)
    pathlib.Path(options.out + ".csv").write_text(text)
    chart(rows, options.out + ".svg")


main()
