"""Prometheus' text format (version 0.0.4) of what the door counts and the registry holds."""

from collections.abc import Iterator

from boxship.doors.oci.counts import BOUNDS, Counts
from boxship.registry import Registry
from boxship.transport.exchange import Reply

FORMAT = "text/plain; version=0.0.4; charset=utf-8"


def metrics(counts: Counts, registry: Registry) -> Reply:
    return Reply(200, {"Content-Type": FORMAT}, ("\n".join(_lines(counts, registry)) + "\n").encode())


def _lines(counts: Counts, registry: Registry) -> Iterator[str]:
    name = "boxship_registry_requests_total"
    yield from _head(name, "counter", "Requests by method, route and status.")
    for (method, route, status), number in sorted(counts.requests.items()):
        yield f'{name}{{method="{_escaped(method)}",route="{route}",code="{status}"}} {number}'
    yield from _durations(counts)
    totals = registry.totals()
    single = (
        ("received_bytes_total", "counter", "Bytes of content that clients sent.", counts.bytes_received),
        ("sent_bytes_total", "counter", "Bytes of content that were sent, or begun to be.", counts.bytes_sent),
        ("logins_failed_total", "counter", "Logins that were refused.", counts.logins_failed),
        ("start_time_seconds", "gauge", "When the registry started.", f"{counts.started:.3f}"),
        ("uploads", "gauge", "Uploads that are not finished.", totals.uploads),
        ("repositories", "gauge", "Repositories.", totals.repositories),
        ("tags", "gauge", "Tags.", totals.tags),
        ("manifests", "gauge", "Manifests.", totals.manifests),
        ("blobs", "gauge", "Blobs, once for each repository that has them.", totals.blobs),
        ("fresh_blobs", "gauge", "Blobs that no manifest names yet.", totals.fresh),
        ("bytes", "gauge", "Bytes of all repositories, each counted as if it were alone.", totals.size),
        ("collection_waiting", "gauge", "Blobs and layers that wait to be removed.", totals.waiting),
        ("deleted_manifests_total", "counter", "Manifests that were taken away.", totals.deleted_manifests),
        ("deleted_tags_total", "counter", "Tags that were taken away.", totals.deleted_tags),
    )
    for short, kind, text, value in single:
        yield from _head(f"boxship_registry_{short}", kind, text)
        yield f"boxship_registry_{short} {value}"


def _durations(counts: Counts) -> Iterator[str]:
    name = "boxship_registry_request_duration_seconds"
    yield from _head(name, "histogram", "Time until a reply was ready to be sent.")
    for route in sorted({route for route, _ in counts.durations}):
        total = 0
        for bound in (*BOUNDS, float("inf")):
            total += counts.durations[route, bound]
            edge = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f'{name}_bucket{{route="{route}",le="{edge}"}} {total}'
        yield f'{name}_sum{{route="{route}"}} {counts.seconds[route]:.6f}'
        yield f'{name}_count{{route="{route}"}} {total}'


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
