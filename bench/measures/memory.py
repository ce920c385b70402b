"""Proportional memory of the engine's own processes: with no container, and with a hundred."""

from bench.figures import Series
from bench.measures.crowd import COUNT, running


def measure(place, rounds: int) -> Series:
    idle_daemon, idle_monitors = place.engine.memory()
    with running(place, COUNT):
        daemon, monitors = place.engine.memory()
    return {
        "idle MB": [idle_daemon + idle_monitors],
        "daemon MB with 100": [daemon],
        "monitors MB with 100": [monitors],
        "MB per container": [(daemon + monitors - idle_daemon - idle_monitors) / COUNT],
    }
