"""Many watchers and constant changes: how late the last of them hears of each, and what that costs."""

import asyncio
import json
import ssl
import time
from collections.abc import Mapping

from bench.cluster.plane import Plane

PATH = "/api/v1/namespaces/default/configmaps"


async def _watch(
    plane: Plane, context: ssl.SSLContext, heard: list[float], ready: asyncio.Event, count: list[int]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", plane.port, ssl=context)
    request = f"GET {PATH}?watch=1&resourceVersion=0&fieldSelector=metadata.name%3Dclock HTTP/1.1\r\nHost: x\r\n\r\n"
    writer.write(request.encode())
    try:
        await reader.readuntil(b"\r\n\r\n")
        count[0] += 1
        ready.set()
        rest = b""
        while piece := await reader.read(1 << 16):
            now = time.time()
            rest += piece
            while (place := rest.find(b'"sent":"')) >= 0:
                end = rest.find(b'"', place + 8)
                if end < 0:
                    break
                heard.append((now - float(rest[place + 8 : end])) * 1000)
                rest = rest[end:]
            rest = rest[-4096:]
    finally:
        writer.close()


async def _change(plane: Plane, context: ssl.SSLContext, changes: int, rate: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", plane.port, ssl=context)
    begun = time.monotonic()
    for number in range(changes):
        await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
        body = json.dumps({"data": {"sent": f"{time.time():.6f}"}}).encode()
        head = f"PATCH {PATH}/clock HTTP/1.1\r\nHost: x\r\nContent-Type: application/merge-patch+json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2]) for line in answer.lower().splitlines() if line.startswith(b"content-length:")
        )
        await reader.readexactly(length)
    writer.close()


async def _measure(plane: Plane, watchers: int, changes: int, rate: float) -> Mapping[str, list[float]]:
    pki = plane.home / "data" / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    heard: list[float] = []
    count = [0]
    ready = asyncio.Event()
    tasks = []
    for number in range(watchers):
        tasks.append(asyncio.create_task(_watch(plane, context, heard, ready, count)))
        if number % 50 == 49:
            while count[0] < number - 20:
                ready.clear()
                await ready.wait()
    while count[0] < watchers:
        ready.clear()
        await ready.wait()
    await asyncio.sleep(1)
    heard.clear()
    used, begun = plane.processor_seconds(), time.monotonic()
    await _change(plane, context, changes, rate)
    deadline = time.monotonic() + 20
    while len(heard) < watchers * changes and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    seconds = time.monotonic() - begun
    processor = 100 * (plane.processor_seconds() - used) / seconds
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {
        f"delay, {watchers} watchers": heard,
        "events heard, part of all": [len(heard) / (watchers * changes)],
        "server, % of a processor": [processor],
        "memory MB with watchers": [plane.memory()],
    }


def measure(plane: Plane, watchers: int, changes: int, rate: float) -> Mapping[str, list[float]]:
    """Delays in milliseconds from before the request to the arrival at each watcher."""
    clock = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "clock"}, "data": {"sent": "0"}}
    plane.ask("POST", PATH, clock)
    return asyncio.run(_measure(plane, watchers, changes, rate))
