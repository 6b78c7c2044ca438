"""One node of PyPI's `kademlia`, told what to do by lines of JSON: what `p2p bench --python` starts.

    driver.py K PORT [KNOWN_PORT]

Each line in is a wish, each line out its answer. An image is NAME -> NUMBER_OF_CHUNKS and NAME_1, NAME_2, … of at most
8000 bytes, written and read one at a time, as users of the library do it. Only the calls of the library are timed:
files are read and cut before, joined and compared after. It ends when its input does.
"""

import asyncio
import json
import sys
import time

from kademlia.network import Server
from kademlia.utils import digest

CHUNK_BYTES = 8000


async def set_all(server, pairs):
    begun = time.perf_counter()
    for key, value in pairs:
        await server.set(key, value)
    return time.perf_counter() - begun


async def set_image(server, wish):
    with open(wish["path"], "rb") as file:
        image = file.read()
    chunks = [image[at:at + CHUNK_BYTES] for at in range(0, len(image), CHUNK_BYTES)]
    name = wish["name"]
    pairs = [(name, len(chunks))] + [(f"{name}_{at}", chunk) for at, chunk in enumerate(chunks, 1)]
    return {"seconds": await set_all(server, pairs), "chunks": len(chunks), "bytes": len(image) + len(str(len(chunks)))}


async def get_image(server, wish):
    name, begun = wish["name"], time.perf_counter()
    count = await server.get(name)
    chunks = [await server.get(f"{name}_{at}") for at in range(1, (count or 0) + 1)]
    seconds = time.perf_counter() - begun
    with open(wish["path"], "rb") as file:
        right = count is not None and None not in chunks and b"".join(chunks) == file.read()
    return {"seconds": seconds, "chunks": count or 0, "right": right}


async def set_text(server, wish):
    value = wish["value"]
    return {"seconds": await set_all(server, [(wish["key"], value)]), "chunks": 1, "bytes": len(value)}


async def get_text(server, wish):
    begun = time.perf_counter()
    value = await server.get(wish["key"])
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "chunks": 1, "right": value == wish["value"]}


async def held(server, wish):
    """How many chunks of an image, or whether a string, are in this node's own memory."""
    name, count = wish["name"], wish["chunks"]
    keys = [f"{name}_{at}" for at in range(1, count + 1)] if wish["image"] else [name]
    return {"held": sum(server.storage.get(digest(key)) is not None for key in keys)}


WORK = {"set_image": set_image, "get_image": get_image, "set": set_text, "get": get_text, "held": held}


async def main():
    k, port, known = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    server = Server(ksize=k)
    await server.listen(port, interface="127.0.0.1")
    if known:
        found = await server.bootstrap([("127.0.0.1", int(known[0]))])
        if not found:
            raise SystemExit(f"nobody answers at port {known[0]}")
    print(json.dumps({"ready": port}), flush=True)
    wishes = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(wishes), sys.stdin)
    while line := await wishes.readline():
        wish = json.loads(line)
        print(json.dumps(await WORK[wish["do"]](server, wish)), flush=True)
    server.stop()


asyncio.run(main())
