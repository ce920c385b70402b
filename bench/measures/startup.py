"""How long the daemon takes from its start to its first answer: with no container, and with 500."""

from bench.figures import Series
from bench.measures.listing import COUNT, existing

REPEATS = 10


def measure(place, rounds: int) -> Series:
    repeats = REPEATS if rounds >= 20 else 1
    series = {"empty": [restart(place) for _ in range(repeats)]}
    with existing(place, COUNT if rounds >= 20 else 50):
        series["with 500 containers"] = [restart(place) for _ in range(repeats)]
    return series


def restart(place) -> float:
    place.engine.stop()
    return place.engine.start() * 1000
