"""The most memory that an engine's own processes have together while something is done: daemons, clients and helpers,
not what runs in containers, not the registry beside it. Sampled, for an engine without a daemon has no other figure."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import sysconf
from pathlib import Path

from bench.engines import Engine
from bench.figures import Series

SECONDS = 0.05  # between two looks
BESIDE = frozenset({"docker-registry", "registry"})
PAGE = sysconf("SC_PAGE_SIZE")


def resident(engine: Engine) -> float:
    """MB that are resident now; pages that processes share count for each."""
    pages = 0
    for pid, name in engine.processes():
        if name not in BESIDE:
            with suppress(OSError, IndexError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * PAGE / (1 << 20)


@contextmanager
def peak(engine: Engine, series: Series, name: str = "peak RSS MB") -> Iterator[None]:
    """Add the most that was resident at one time in the block to the series."""
    ended = threading.Event()
    most = [resident(engine)]

    def watch() -> None:
        while not ended.wait(SECONDS):
            most[0] = max(most[0], resident(engine))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        series.setdefault(name, []).append(most[0])
