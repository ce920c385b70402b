"""What this door counts, and /metrics, under the names that the original's dashboards know.

Counting costs a dictionary's look-up per request; the text is made when it is asked for.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from boxship.transport.exchange import Reply

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds
SERIES_LIMIT = 5000  # of one metric; what is above is counted under "other"


class Key(NamedTuple):
    """What a request was about. `scope` is resource, namespace or cluster."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    scope: str = ""

    def labels(self) -> str:
        return (
            f'group="{self.group}",resource="{self.resource}",scope="{self.scope}",'
            f'subresource="{self.subresource}",verb="{self.verb}",version="{self.version}"'
        )


class Gauge(NamedTuple):
    """A figure that somebody else knows. `kind` is gauge or counter; `values` are (labels, value)."""

    name: str
    kind: str
    what: str
    values: Iterable[tuple[str, float]]


OTHER = Key("OTHER")
Gauges = Callable[[], Awaitable[list[Gauge]]]


class Metrics:
    """The counts of one door."""

    def __init__(self, gauges: Gauges | None = None) -> None:
        """`gauges` tells further figures whenever the text is made."""
        self._gauges = gauges
        self._requests: dict[tuple[Key, int], int] = {}
        self._seconds: dict[Key, list[float]] = {}  # a count for each bucket, one above, the sum
        self.inflight = {"readOnly": 0, "mutating": 0}
        self.watches: dict[Key, int] = {}

    def answered(self, key: Key, code: int, seconds: float | None) -> None:
        """A request has its answer; `seconds` is None for a watch, whose time says nothing."""
        if (key, code) not in self._requests and len(self._requests) >= SERIES_LIMIT:
            key = OTHER
        self._requests[key, code] = self._requests.get((key, code), 0) + 1
        if seconds is None:
            return
        row = self._seconds.get(key)
        if row is None:
            row = self._seconds[key] = [0.0] * (len(BUCKETS) + 2)
        place = next((number for number, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))
        row[place] += 1
        row[-1] += seconds

    def opened(self, key: Key, step: int) -> None:
        """A watch begins (1) or ends (-1)."""
        count = self.watches.get(key, 0) + step
        if count > 0:
            self.watches[key] = count
        else:
            self.watches.pop(key, None)

    async def reply(self) -> Reply:
        return Reply(200, {"Content-Type": CONTENT_TYPE}, (await self.text()).encode())

    async def text(self) -> str:
        requests = [(f'code="{code}",{key.labels()}', float(count)) for (key, code), count in self._requests.items()]
        gauges = [
            Gauge("apiserver_request_total", "counter", "Requests by verb, resource and code.", requests),
            Gauge(
                "apiserver_current_inflight_requests",
                "gauge",
                "Requests at work.",
                [(f'request_kind="{kind}"', float(count)) for kind, count in self.inflight.items()],
            ),
            Gauge(
                "apiserver_longrunning_requests",
                "gauge",
                "Watches that are open.",
                [(key.labels(), float(count)) for key, count in self.watches.items()],
            ),
            *(await self._gauges() if self._gauges is not None else ()),
        ]
        return "".join([*map(_shown, gauges), *self._histogram()])

    def _histogram(self) -> Iterable[str]:
        name = "apiserver_request_duration_seconds"
        yield f"# HELP {name} Time to the answer, watches left out.\n# TYPE {name} histogram\n"
        for key, row in self._seconds.items():
            labels, total = key.labels(), 0.0
            for bound, count in zip((*BUCKETS, "+Inf"), row[:-1], strict=True):
                total += count
                yield f'{name}_bucket{{{labels},le="{bound}"}} {total:g}\n'
            yield f"{name}_sum{{{labels}}} {row[-1]:.6f}\n{name}_count{{{labels}}} {total:g}\n"


def _shown(gauge: Gauge) -> str:
    lines = [f"# HELP {gauge.name} {gauge.what}\n# TYPE {gauge.name} {gauge.kind}\n"]
    for labels, value in gauge.values:
        shown = f"{value:.0f}" if value == int(value) else f"{value:.6f}"
        lines.append(f"{gauge.name}{{{labels}}} {shown}\n" if labels else f"{gauge.name} {shown}\n")
    return "".join(lines)
