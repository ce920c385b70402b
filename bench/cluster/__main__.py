"""`python -m bench.cluster`: start-up, reads and writes at 1 and 16 clients, many watchers, memory; on both stores.

The peer is the store alone in the same run: what a durable write costs without any API. Figures of the original on
another day stand in docs/performance.md.
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench.cluster.clients import run
from bench.cluster.plane import ETCD, Plane, etcd, free_port
from bench.cluster.watching import measure
from bench.figures import summary
from boxship.store import Put, Store
from boxship.store.etcd.store import EtcdStore
from boxship.store.sqlite import SqliteStore

TARGETS = {  # of measured.md: series -> p50 in milliseconds (MB for memory)
    "start from nothing": 2000,
    "get pod, 1 client": 2,
    "get configmap, 1 client": 2,
    "list 100 pods, 1 client": 8,
    "create configmap, 1 client": 3,
    "patch configmap, 1 client": 3,
    "memory idle MB": 150,
}
READS = ("get pod", "get configmap", "list 100 pods")
WRITES = ("create configmap", "patch configmap")
Series = dict[str, list[float]]


def pod(number: int) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"pod-{number}", "labels": {"app": "web", "number": str(number)}},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "web", "image": "shop/web:1", "ports": [{"containerPort": 80}]}],
        },
    }


def fill(plane: Plane, first: int, last: int) -> None:
    """Pods over kept connections."""
    from boxship.transport.blocking import Connection

    connection = Connection(plane.address)
    for number in range(first, last):
        body = json.dumps(pod(number)).encode()
        answer = connection.request(
            "POST", "/api/v1/namespaces/default/pods", {"Content-Type": "application/json"}, body
        )
        text = answer.read()
        if answer.status >= 400:
            raise RuntimeError(text[:300].decode())
    connection.close()


async def alone(store: Store, rounds: int) -> Series:
    """The same bytes into the store itself, one after the other and sixteen at once."""
    made = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"uid": "x" * 36}, "data": {"a": "x" * 500}}
    value = json.dumps(made)
    samples = []
    for number in range(rounds):
        begun = time.perf_counter()
        await store.commit(Put(f"/registry/alone/{number}", value.encode(), 0))
        samples.append((time.perf_counter() - begun) * 1000)

    async def client(mark: int) -> None:
        for number in range(rounds):
            await store.commit(Put(f"/registry/alone-{mark}/{number}", value.encode(), 0))

    begun = time.perf_counter()
    await asyncio.gather(*(client(mark) for mark in range(16)))
    return {
        "the store alone: one commit": samples,
        "the store alone: commits per second, 16 clients": [16 * rounds / (time.perf_counter() - begun)],
    }


def take(home: Path, store: str, options: argparse.Namespace) -> Series:
    """Everything on one store."""
    series: Series = {}
    plane = Plane(home, free_port(), store)
    series["start from nothing"] = [plane.start()]
    try:
        time.sleep(2)  # first objects settle
        used, begun = plane.processor_seconds(), time.monotonic()
        time.sleep(5)
        series["idle, % of a processor"] = [100 * (plane.processor_seconds() - used) / (time.monotonic() - begun)]
        series["memory idle MB"] = [plane.memory()]
        fixed = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fixed"}, "data": {"a": "b"}}
        plane.ask("POST", "/api/v1/namespaces/default/configmaps", fixed)
        fill(plane, 0, 100)
        for clients in (1, 16):
            for what in (*READS, *WRITES):
                rounds = options.rounds if clients == 1 else max(options.rounds // 4, 10)
                samples, rate = run(plane.address, what, clients, rounds)
                name = f"{what}, {clients} client{'s' if clients > 1 else ''}"
                series[name] = samples
                series[f"{name}: per second"] = [rate]
        if options.watchers:
            series |= measure(plane, options.watchers, options.changes, 100)
        for count in options.pods:
            fill(plane, 100 if count == options.pods[0] else options.pods[0], count)
            series[f"memory MB with {count} pods"] = [plane.memory()]
            samples, _ = run(plane.address, "list all pods", 1, 5)
            series[f"list {count} pods"] = samples
        plane.stop()
        series["start again"] = [plane.start()]
    finally:
        plane.stop()
    return series


def table(results: dict[str, Series]) -> str:
    names = list(dict.fromkeys(name for series in results.values() for name in series))
    lines = [f"{'':<52}" + "".join(f"{store:>22}" for store in results) + f"{'target':>10}"]
    for name in names:
        cells = []
        for series in results.values():
            found = summary(series[name]) if series.get(name) else None
            many = found is not None and found["rounds"] > 1
            cells.append("-" if found is None else f"{found['p50']:.4g}" + (f" ({found['p99']:.4g})" if many else ""))
        target = f"{TARGETS[name]:>10}" if name in TARGETS else ""
        lines.append(f"{name:<52}" + "".join(f"{cell:>22}" for cell in cells) + target)
    for store, series in results.items():
        create, commit = (series[name] for name in ("create configmap, 1 client", "the store alone: one commit"))
        ratio = summary(create)["p50"] / summary(commit)["p50"]
        lines.append(f"{store}: a create takes {ratio:.1f} times as long as the store's commit alone")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description="Measure the Kubernetes API.")
    parser.add_argument("--store", action="append", choices=["sqlite", "etcd"], help="only on this one (repeatable)")
    parser.add_argument("--rounds", type=int, default=400, help="requests of each client (default 400)")
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=500, help="seen by the watchers, 100 a second (default 500)")
    parser.add_argument("--pods", type=int, action="append", help="to list and hold (default 10000, then 100000)")
    parser.add_argument("--json", type=Path, default=Path("build/bench-cluster.json"))
    options = parser.parse_args()
    options.pods = options.pods or [10_000, 100_000]
    stores = options.store or ["sqlite", "etcd"]
    if "etcd" in stores and not ETCD.exists():
        print("etcd: not there (tools/cluster-peers.sh)")
        stores.remove("etcd")
    results: dict[str, Series] = {}
    folder = Path(tempfile.mkdtemp(prefix="boxship-bench-", dir="/var/lib"))
    try:
        for name in stores:
            print(f"measuring on {name} (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
            home = folder / name
            home.mkdir()
            if name == "sqlite":
                results[name] = take(home, "", options) | asyncio.run(_sqlite_alone(home, options.rounds))
            else:
                with etcd(home) as url:
                    results[name] = take(home, f"etcd:{url}", options)
                (home / "second").mkdir()
                with etcd(home / "second") as url:
                    results[name] |= asyncio.run(_etcd_alone(url, options.rounds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(table(results) + "p50 (p99); milliseconds unless said")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


async def _sqlite_alone(home: Path, rounds: int) -> Series:
    store = await SqliteStore.open(home / "alone.db", backup=False)
    try:
        return await alone(store, rounds)
    finally:
        await store.close()


async def _etcd_alone(url: str, rounds: int) -> Series:
    store = await EtcdStore.open(url)
    try:
        return await alone(store, rounds)
    finally:
        await store.close()


if __name__ == "__main__":
    sys.exit(main())
