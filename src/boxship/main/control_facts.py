"""What a control plane says of itself: its version, its checks, the figures that it does not count at the door."""

import asyncio
import os
import platform
import resource
import time

from boxship import __version__
from boxship.cluster.objects import Object
from boxship.doors.kube.health import Check
from boxship.doors.kube.metrics import Gauge, Gauges
from boxship.errors import Unavailable
from boxship.store import Store

MAJOR, MINOR, PATCH = 1, 36, 2  # of the Kubernetes API that this is
ANSWER_SECONDS = 1.5  # a store that takes longer is told as one that does not answer
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def version_document() -> Object:
    """/version."""
    machine = platform.machine()
    return {
        "major": str(MAJOR),
        "minor": str(MINOR),
        "gitVersion": f"v{MAJOR}.{MINOR}.{PATCH}+boxship-{__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation(),
        "platform": f"linux/{MACHINES.get(machine, machine)}",
    }


def checks(store: Store) -> list[Check]:
    """Of /readyz and its like. The store's is called etcd, as people's dashboards know it."""

    async def answers() -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await store.revision()
        except TimeoutError:
            raise Unavailable("the store does not answer") from None

    return [Check("etcd", answers), Check("etcd-readiness", answers, ("readyz",)), Check("informer-sync", _passed)]


async def _passed() -> None:
    """What holds since before the first listener."""


def gauges(store: Store, *others: Gauges) -> Gauges:
    """Figures of the process, of the store, and of others."""
    started = time.time()

    async def tell() -> list[Gauge]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        more = [gauge for other in others for gauge in await other()]
        return [
            Gauge("process_cpu_seconds_total", "counter", "CPU time.", [("", used.ru_utime + used.ru_stime)]),
            Gauge("process_resident_memory_bytes", "gauge", "Memory.", [("", float(pages * PAGE_BYTES))]),
            Gauge("process_open_fds", "gauge", "Open files.", [("", float(len(os.listdir("/proc/self/fd"))))]),
            Gauge("process_start_time_seconds", "gauge", "When it started.", [("", started)]),
            Gauge("boxship_store_revision", "gauge", "Commits so far.", [("", float(await store.revision()))]),
            *more,
        ]

    return tell
