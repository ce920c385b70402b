"""PodMetrics and NodeMetrics: made of the collector's looks and of the objects that are stored, for each request."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from boxship.cluster.api.admission import Lookup
from boxship.cluster.api.request import Answer, Request
from boxship.cluster.api.usage.collecting import Collector, Look
from boxship.cluster.api.usage.samples import NANO, Used, used
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.selectors import parse_fields, parse_labels
from boxship.cluster.objects.tables import table_of

VERSION = "metrics.k8s.io/v1beta1"
KIBIBYTE = 1024
PARTIAL = "meta.k8s.io/v1"

_encode = msgspec.json.Encoder().encode


class UsageAnswers:
    """Answers get and list of both kinds."""

    def __init__(self, lookup: Lookup, collector: Collector) -> None:
        self._lookup = lookup
        self._collector = collector

    async def pods(self, request: Request) -> Answer:
        if request.name:
            pod = await self._lookup.get("v1/pods", request.namespace, request.name)
            sources: Sequence[Object] = [pod] if pod is not None else []
        else:
            sources = await self._lookup.list("v1/pods", request.namespace)
        sources = [pod for pod in sources if (pod.get("status") or {}).get("phase") == "Running"]
        return await self._answer(request, sources, pod_metrics, f"{request.namespace}/{request.name}")

    async def nodes(self, request: Request) -> Answer:
        if request.name:
            node = await self._lookup.get("v1/nodes", "", request.name)
            sources: Sequence[Object] = [node] if node is not None else []
        else:
            sources = await self._lookup.list("v1/nodes")
        return await self._answer(request, sources, node_metrics, request.name)

    async def _answer(self, request: Request, sources: Sequence[Object], make: Any, shown: str) -> Answer:
        sources = list(selected(request, sources))
        items: list[Object] = []
        if sources:
            newest, olders = await self._collector.now()
            made = (make(source, newest, olders) for source in sources)
            items = [each for each in made if each is not None]
        if request.name and not items:
            kind = request.resource.kind.lower()
            message = f'{kind}.metrics.k8s.io "{shown}" not found'
            raise Failure(404, "NotFound", message, name=shown, group="metrics.k8s.io", kind=kind)
        return Answer(200, _encode(shaped(request, items)))


def selected(request: Request, objects: Sequence[Object]) -> Iterator[Object]:
    """Those that the request's selectors name. Raises Failure for wrong ones."""
    labels = parse_labels(request.options.label_selector)
    fields = parse_fields(request.options.field_selector)
    for object in objects:
        metadata = object["metadata"]
        known = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
        if labels.matches(metadata.get("labels") or {}) and fields.matches(known):
            yield object


def pod_metrics(pod: Object, newest: Look, olders: Sequence[Look]) -> Object | None:
    """None for a pod of which a container has no figures yet."""
    node = (pod.get("spec") or {}).get("nodeName", "")
    metadata = pod["metadata"]
    sample = newest.nodes.get(node)
    if sample is None:
        return None
    before = [each.nodes[node] for each in olders if node in each.nodes]
    running = [
        each["name"]
        for list_ in ("containerStatuses", "initContainerStatuses")
        for each in (pod.get("status") or {}).get(list_) or ()
        if (each.get("state") or {}).get("running") is not None
    ]
    found = {name: used((metadata["namespace"], metadata["name"], name), sample, before) for name in running}
    figures = {name: each for name, each in found.items() if each is not None}
    if not figures or len(figures) < len(found):
        return None
    first = min(figures.values(), key=lambda each: each.time)
    return {
        **_head("PodMetrics", metadata, first),
        "containers": [{"name": name, "usage": _usage(each)} for name, each in figures.items()],
    }


def node_metrics(node: Object, newest: Look, olders: Sequence[Look]) -> Object | None:
    name = node["metadata"]["name"]
    sample = newest.nodes.get(name)
    if sample is None:
        return None
    found = used(("", "", ""), sample, [each.nodes[name] for each in olders if name in each.nodes])
    return None if found is None else {**_head("NodeMetrics", node["metadata"], found), "usage": _usage(found)}


def _head(kind: str, source: Object, found: Used) -> Object:
    at = datetime.fromtimestamp(found.time / NANO, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata = {"name": source["name"], "creationTimestamp": at}
    for field in ("namespace", "labels"):
        if source.get(field):
            metadata[field] = source[field]
    window = f"{found.window / NANO:.3f}".rstrip("0").rstrip(".") + "s"
    return {"kind": kind, "apiVersion": VERSION, "metadata": metadata, "timestamp": at, "window": window}


def _usage(found: Used) -> dict[str, str]:
    return {"cpu": f"{found.cpu}n", "memory": f"{found.memory // KIBIBYTE}Ki"}


def shaped(request: Request, items: Sequence[Object]) -> Object:
    """As the client wants them: whole, as a table, or metadata alone."""
    form = request.view.form
    if form == "table":
        columns, rows = table_of(request.resource, items, datetime.now(UTC).timestamp())
        for row in rows:
            row["object"] = _row_object(request.view.include, row["object"])
        return {
            "kind": "Table",
            "apiVersion": PARTIAL,
            "metadata": {},
            "columnDefinitions": columns,
            "rows": rows,
        }
    kind = f"{request.resource.kind}List"
    version = VERSION
    if form == "metadata":
        items = [_partial(each) for each in items]
        kind, version = "PartialObjectMetadataList", PARTIAL
    if request.name:
        return items[0]
    return {"kind": kind, "apiVersion": version, "metadata": {}, "items": list(items)}


def _partial(object: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": PARTIAL, "metadata": object["metadata"]}


def _row_object(include: str, object: Object) -> Object | None:
    if include == "Object":
        return object
    return _partial(object) if include == "Metadata" else None
