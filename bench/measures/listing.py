"""Listing and inspecting among 500 containers that exist but do not run."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.figures import Series, timed
from bench.measures.crowd import remove_many

COUNT = 500


def measure(place, rounds: int) -> Series:
    client = place.engine.client()
    with existing(place, COUNT if rounds >= 20 else 50) as containers:
        listed = client.ask("GET", "/containers/json?all=1")
        if len(listed) != len(containers):
            raise RuntimeError(f"{len(listed)} of {len(containers)} containers are listed")
        return {
            "list all": [timed(lambda: client.ask("GET", "/containers/json?all=1")) for _ in range(rounds)],
            "inspect one": [
                timed(lambda number=number: client.ask("GET", f"/containers/{containers[number % COUNT]}/json"))
                for number in range(rounds)
            ],
        }


@contextmanager
def existing(place, count: int) -> Iterator[list[str]]:
    """So many containers that were never started, for a while."""
    client = place.engine.client()
    containers = [client.create(["true"]) for _ in range(count)]
    try:
        yield containers
    finally:
        remove_many(place.engine.client, containers)
