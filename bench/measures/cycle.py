"""create + start + wait + remove of `true`, on the bridge and without a network, through the socket."""

from time import perf_counter

from bench.client import Client
from bench.figures import Series

WARM_UP = 5  # rounds that do not count


def measure(place, rounds: int) -> Series:
    client = place.engine.client()
    series: Series = {}
    for network in ("bridge", "none"):
        for number in range(WARM_UP + rounds):
            times = once(client, network)
            if number >= WARM_UP:
                for name, value in times.items():
                    series.setdefault(f"{network} {name}", []).append(value)
    return series


def once(client: Client, network: str) -> dict[str, float]:
    marks = [perf_counter()]
    container = client.create(["true"], network)
    marks.append(perf_counter())
    client.start(container)
    marks.append(perf_counter())
    code = client.wait(container)
    marks.append(perf_counter())
    client.remove(container)
    marks.append(perf_counter())
    if code:
        raise RuntimeError(f"true ended with {code}")
    names = ("create", "start", "wait", "remove")
    steps = {name: (marks[index + 1] - marks[index]) * 1000 for index, name in enumerate(names)}
    return {"total": (marks[-1] - marks[0]) * 1000, **steps}
