"""An agent's /metrics/resource read, and two such samples made into what is used now. Pure.

A rate needs two looks at a counter. Of a container that was not there at the first one, the whole life is the window,
so its figures are there within seconds of its start.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

_LINE = re.compile(
    r"^(node|container)_(cpu_usage_seconds_total|memory_working_set_bytes|start_time_seconds)"
    r"(?:\{([^}]*)\})? (\S+)(?: (\d+))?$",
    re.MULTILINE,
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
NANO = 1_000_000_000
MOST = 1e18  # bytes or seconds
SHORTEST_NANOSECONDS = NANO // 2  # between two looks that make a rate
Key = tuple[str, str, str]  # namespace, pod, container; all "" for the node


class Point(msgspec.Struct, frozen=True):
    """One look at a container, or at a node. `time` and `started` are nanoseconds since the epoch, `cpu` nanoseconds of
    processor time so far, `memory` bytes."""

    time: int
    cpu: int
    memory: int
    started: int = 0


class Used(msgspec.Struct, frozen=True):
    """What is used: `cpu` in nanocores, over a window of so many nanoseconds that ends at `time`."""

    time: int
    window: int
    cpu: int
    memory: int


Sample = Mapping[Key, Point]


def read_sample(text: str, now: int) -> Sample:
    """Every container and the node itself; what has not all of its figures is left out."""
    parts: dict[Key, dict[str, tuple[float, int]]] = {}
    for kind, what, labels, value, at in _LINE.findall(text):
        key = ("", "", "")
        if kind == "container":
            found = dict(_LABEL.findall(labels))
            key = (found.get("namespace", ""), found.get("pod", ""), found.get("container", ""))
        try:
            figure, when = float(value), int(at) * 1_000_000 if at else now
        except ValueError:
            continue
        if 0 <= figure < MOST:  # a node may say anything, also NaN
            parts.setdefault(key, {})[what] = (figure, when)
    sample = {}
    for key, each in parts.items():
        cpu, memory = each.get("cpu_usage_seconds_total"), each.get("memory_working_set_bytes")
        if cpu is not None and memory is not None:
            started = each.get("start_time_seconds", (0.0, 0))[0]
            sample[key] = Point(cpu[1], round(cpu[0] * NANO), int(memory[0]), int(started * NANO))
    return sample


def used(key: Key, newest: Sample, olders: Sequence[Sample]) -> Used | None:
    """What is used now; `olders` are earlier samples, in the order in which we like them as the window's beginning."""
    last = newest.get(key)
    if last is None:
        return None
    for older in olders:
        first = older.get(key)
        if first is None or last.time - first.time < SHORTEST_NANOSECONDS:
            continue
        if first.cpu <= last.cpu and first.started == last.started:
            window = last.time - first.time
            return Used(last.time, window, (last.cpu - first.cpu) * NANO // window, last.memory)
    if last.started and last.time - last.started >= SHORTEST_NANOSECONDS:
        window = last.time - last.started
        return Used(last.time, window, last.cpu * NANO // window, last.memory)
    return None
