"""Many containers, several at a time: how many start, and how many are removed, in a second."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from time import perf_counter

from bench.client import Client
from bench.figures import Series

COUNT = 100
AT_A_TIME = 8
REPEATS = 3


def measure(place, rounds: int) -> Series:
    series: Series = {"started per second": [], "removed per second": []}
    for _ in range(REPEATS if rounds >= 20 else 1):
        before = perf_counter()
        containers = start_many(place.engine.client, COUNT)
        series["started per second"].append(COUNT / (perf_counter() - before))
        before = perf_counter()
        remove_many(place.engine.client, containers)
        series["removed per second"].append(COUNT / (perf_counter() - before))
    return series


@contextmanager
def running(place, count: int) -> Iterator[list[str]]:
    """So many containers that sleep, for a while."""
    containers = start_many(place.engine.client, count)
    try:
        yield containers
    finally:
        remove_many(place.engine.client, containers)


def start_many(connect: Callable[[], Client], count: int) -> list[str]:
    def work(number: int) -> list[str]:
        client = connect()
        made = []
        for _ in range(number, count, AT_A_TIME):
            container = client.create(["sleep", "1000000"])
            client.start(container)
            made.append(container)
        return made

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(chain.from_iterable(pool.map(work, range(AT_A_TIME))))


def remove_many(connect: Callable[[], Client], containers: Sequence[str]) -> None:
    def work(number: int) -> None:
        client = connect()
        for container in containers[number::AT_A_TIME]:
            client.remove(container)

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(work, range(AT_A_TIME)))
