"""A registry's own speed, with one small client for all: blobs in, blobs out, a thousand readers at once, memory."""

import asyncio
import hashlib
import http.client
import resource
from time import perf_counter

from bench.contexts import MB, block
from bench.figures import Series, timed

BLOB_MB = 64
READERS = 1000
SMALL = 256 << 10  # bytes that each of the readers gets
REPEATS = 5


def measure(place, rounds: int) -> Series:
    address = place.engine.registry
    place.engine.stop()  # what was measured before must not count
    place.engine.start()
    repeats = REPEATS if rounds >= 20 else 1
    series: Series = {"push MB/s": [], "pull MB/s": []}
    before = peak(place)
    for number in range(repeats):
        content = b"".join(block(5000 + number * BLOB_MB + index) for index in range(BLOB_MB))
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        series["push MB/s"].append(BLOB_MB * 1000 / timed(lambda: push(address, digest, content)))  # noqa: B023
        pull(address, digest)
        series["pull MB/s"].append(BLOB_MB * 1000 / timed(lambda: pull(address, digest)))  # noqa: B023
    small = block(1)[:SMALL]
    digest = "sha256:" + hashlib.sha256(small).hexdigest()
    push(address, digest, small)
    series[f"{READERS} readers at once, all"] = [asyncio.run(crowd(address, digest)) for _ in range(repeats)]
    series["peak RSS MB"] = [peak(place)]
    series["RSS MB before"] = [before]
    return series


def push(address: str, digest: str, content: bytes) -> None:
    connection = http.client.HTTPConnection(address)
    connection.request("POST", "/v2/bench/blobs/uploads/", headers={"Content-Length": "0"})
    answer = connection.getresponse()
    answer.read()
    place = answer.headers["Location"]
    place = place[place.index("/v2/") :]
    joint = "&" if "?" in place else "?"
    connection.request("PUT", f"{place}{joint}digest={digest}", content, {"Content-Type": "application/octet-stream"})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 201:
        raise RuntimeError(f"push: {answer.status}")
    connection.close()


def pull(address: str, digest: str) -> None:
    connection = http.client.HTTPConnection(address)
    connection.request("GET", f"/v2/bench/blobs/{digest}")
    answer = connection.getresponse()
    buffer = bytearray(MB)
    size = 0
    while count := answer.readinto(buffer):
        size += count
    if answer.status != 200 or size != int(answer.headers["Content-Length"]):
        raise RuntimeError(f"pull: {answer.status}, {size} bytes")
    connection.close()


async def crowd(address: str, digest: str) -> float:
    """Milliseconds until a thousand readers, each with a connection of its own, have the whole blob."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    host, _, port = address.partition(":")
    ask = f"GET /v2/bench/blobs/{digest} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode()

    async def read() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(ask)
        size = 0
        while piece := await reader.read(MB):
            size += len(piece)
        writer.close()
        if size < SMALL:
            raise RuntimeError(f"a reader got {size} bytes")

    before = perf_counter()
    await asyncio.gather(*(read() for _ in range(READERS)))
    return (perf_counter() - before) * 1000


def peak(place) -> float:
    """The most memory that the daemon has had resident, in MB."""
    assert place.engine.process is not None
    with open(f"/proc/{place.engine.process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
