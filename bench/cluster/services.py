"""`python -m bench.cluster.services`: new connections through 1, 1,000 and 10,000 services against direct ones, the
time from an endpoint's change to the packets' change, and what the proxy costs in memory.

It runs in a network namespace of its own, as root: two pods of the network room, a server process in each, the service
proxy over objects in memory. The peer is the direct connection of the same run.
"""

import argparse
import asyncio
import contextlib
import ctypes
import json
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from bench.figures import summary
from boxship.cluster.access import Event, Listing
from boxship.cluster.proxy.services import ServiceProxy
from boxship.network.cluster import ClusterNetwork, Site, pods_network
from boxship.network.model import AddressPool, Settings
from boxship.network.networks import Networks
from boxship.spec.container import EndpointRequest
from boxship.store.memory import MemoryStore
from boxship.sys import namespace

COUNTS = (1, 1000, 10000)
SERVER = """
import socket, sys
server = socket.socket(); server.bind(("0.0.0.0", 80)); server.listen(1024)
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    connection.send(sys.argv[1].encode()); connection.close()
"""
Series = dict[str, list[float]]


class Objects:
    """The cluster's objects, in memory, as a reader and watcher."""

    def __init__(self) -> None:
        self.kinds: dict[str, dict[str, Any]] = {}
        self.version = 1
        self.watchers: dict[str, asyncio.Queue[Event]] = {}

    def put(self, kind: str, name: str, **body: Any) -> None:
        self.version += 1
        metadata = {"name": name, "namespace": "default", "resourceVersion": str(self.version)}
        made = {**body, "metadata": {**metadata, **body.get("metadata", {})}}
        self.kinds.setdefault(kind, {})[name] = made
        if kind in self.watchers:
            self.watchers[kind].put_nowait(Event("MODIFIED", made))

    async def get(self, kind: str, namespace: str, name: str, *, subresource: str = "") -> Any:
        return self.kinds[kind][name]

    async def list(self, kind: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        self.watchers[kind] = asyncio.Queue()
        return Listing(tuple(self.kinds.get(kind, {}).values()), str(self.version))

    async def watch(
        self, kind: str, namespace: str = "", *, version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        while True:
            yield await self.watchers[kind].get()


def address(number: int) -> str:
    return f"10.96.{number // 250 + 1}.{number % 250 + 1}"


def put_service(objects: Objects, number: int, pods: Sequence[str]) -> None:
    name = f"service-{number}"
    ports = [{"port": 80, "protocol": "TCP"}]
    objects.put(
        "v1/services", name, spec={"clusterIP": address(number), "clusterIPs": [address(number)], "ports": ports}
    )
    put_slice(objects, number, pods)


def put_slice(objects: Objects, number: int, pods: Sequence[str]) -> None:
    name = f"service-{number}"
    objects.put(
        "discovery.k8s.io/v1/endpointslices",
        name,
        metadata={"labels": {"kubernetes.io/service-name": name}},
        addressType="IPv4",
        ports=[{"name": "", "port": 80, "protocol": "TCP"}],
        endpoints=[{"addresses": [pod], "conditions": {"ready": True}} for pod in pods],
    )


def connect(target: str) -> float:
    """One connection, asked and heard; milliseconds. It ends without lingering."""
    begun = time.perf_counter()
    with socket.create_connection((target, 80), timeout=5) as client:
        taken = (time.perf_counter() - begun) * 1000
        client.recv(1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return taken


def hammer(where: str, target: str, rounds: int) -> tuple[list[float], float]:
    """Connections one after the other from a namespace; how long each took, and how many there were in a second."""

    def work() -> tuple[list[float], float]:
        begun = time.perf_counter()
        samples = [connect(target) for _ in range(rounds)]
        return samples, rounds / (time.perf_counter() - begun)

    return namespace.run_inside(Path(where), work)


def who(where: str, target: str) -> str:
    def work() -> str:
        with socket.create_connection((target, 80), timeout=5) as client:
            return client.recv(1).decode()

    return namespace.run_inside(Path(where), work)


def memory_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _start(command: list[str]) -> Callable[[], None]:
    """A server that says when it is ready; what ends it."""
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout and server.stdout.readline() == "ready\n"

    def end() -> None:
        server.kill()
        server.wait()

    return end


class Bench:
    """Pods a (client), b and c (servers), and the proxy."""

    def __init__(self, networks: Networks, cluster: ClusterNetwork, rounds: int) -> None:
        self.networks, self.cluster, self.rounds = networks, cluster, rounds
        self.objects = Objects()
        self.spaces: dict[str, str] = {}
        self.addresses: dict[str, str] = {}
        self.series: Series = {}

    async def prepare(self, stack: contextlib.AsyncExitStack) -> None:
        for name in "abc":
            made = await self.networks.attach(name * 64, name, requests=(EndpointRequest("pods"),))
            self.spaces[name], self.addresses[name] = made.namespace, made.endpoints[0].ipv4_address
            stack.push_async_callback(self.networks.detach, name * 64)
        for name in "bc":
            command = ["nsenter", f"--net={self.spaces[name]}", sys.executable, "-c", SERVER, name]
            stack.callback(await asyncio.to_thread(_start, command))

    def note(self, name: str, *values: float) -> None:
        self.series.setdefault(name, []).extend(values)

    async def run(self) -> Series:
        both = [self.addresses["b"], self.addresses["c"]]
        await self._hammer("direct", self.addresses["b"])
        self.objects.put("v1/nodes", "node", metadata={"namespace": ""})
        for count in COUNTS:
            before = memory_mb()
            for number in range(count):
                put_service(self.objects, number, both)
            begun = time.perf_counter()
            worst = 0.0
            proxy = asyncio.create_task(ServiceProxy(self.objects, self.cluster, "node").run())
            while len(self.cluster.services) < count:
                pause = time.perf_counter()
                await asyncio.sleep(0.001)
                worst = max(worst, time.perf_counter() - pause)
            self.note(f"{count} services: all in force", (time.perf_counter() - begun) * 1000)
            self.note(f"{count} services: longest pause of the loop", worst * 1000)
            self.note(f"{count} services: memory MB", memory_mb() - before)
            await self._hammer(f"{count} services", address(count - 1))
            await self._change(count)
            proxy.cancel()
            await asyncio.gather(proxy, return_exceptions=True)
        return self.series

    async def _hammer(self, name: str, target: str) -> None:
        await asyncio.to_thread(hammer, self.spaces["a"], target, 200)
        for _ in range(5):
            samples, rate = await asyncio.to_thread(hammer, self.spaces["a"], target, self.rounds)
            self.note(f"{name}: connect", *samples)
            self.note(f"{name}: connections per second", rate)

    async def _change(self, count: int) -> None:
        """From the watch event of a slice to packets that follow it."""
        number = count // 2
        for turn in range(20):
            name = "bc"[turn % 2]
            begun = time.perf_counter()
            put_slice(self.objects, number, [self.addresses[name]])
            while await asyncio.to_thread(who, self.spaces["a"], address(number)) != name:
                pass
            self.note(f"{count} services: change to traffic", (time.perf_counter() - begun) * 1000)


async def measure(folder: Path, rounds: int) -> Series:
    settings = Settings(pools=(AddressPool("10.201.0.0/16", 24),), address_lock=folder / "lock", ready_namespaces=1)
    networks = Networks(MemoryStore(), folder / "run", "bench", settings)
    await networks.start()
    await networks.recover(())
    pods = await networks.create(pods_network("pods", "10.244.0.0/24", Site()))
    cluster = ClusterNetwork("bench", pods, Site())
    await cluster.open()
    try:
        async with contextlib.AsyncExitStack() as stack:
            bench = Bench(networks, cluster, rounds)
            await bench.prepare(stack)
            return await bench.run()
    finally:
        await cluster.leave()
        await cluster.close()
        await networks.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster.services", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000, metavar="N", help="connections of each sample")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    if ctypes.CDLL(None).unshare(namespace.CLONE_NEWNET):
        raise SystemExit("cannot make a network namespace: run as root")
    with tempfile.TemporaryDirectory(prefix="boxship-bench-") as folder:
        series = asyncio.run(measure(Path(folder), options.rounds))
    found = {name: summary(samples) for name, samples in series.items()}
    for name, item in found.items():
        unit = "" if "per second" in name or "MB" in name else " ms"
        print(f"{name:<48} p50 {item['p50']:>10.2f}{unit}  p99 {item['p99']:>10.2f}{unit}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
