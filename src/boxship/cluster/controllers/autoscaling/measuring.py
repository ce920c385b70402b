"""Asks for samples: of resources the API itself, of everything else the servers that serve these groups."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from boxship.cluster.access import Client
from boxship.cluster.controllers.autoscaling.facts import Sample, Unknown
from boxship.cluster.controllers.scaling import Scales
from boxship.cluster.controllers.workloads.times import seconds_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.quantity import parse
from boxship.cluster.objects.selectors import of_object
from boxship.errors import BoxshipError, Invalid
from boxship.spec.duration import SECOND, parse_duration

PODS = "metrics.k8s.io/v1beta1/pods"
CUSTOM, CUSTOM_VERSIONS = "custom.metrics.k8s.io", ("v1beta2", "v1beta1")
EXTERNAL, EXTERNAL_VERSIONS = "external.metrics.k8s.io", ("v1beta1",)
WINDOW = 60.0  # seconds, where a sample does not say


class Elsewhere(Protocol):
    """Groups that other servers serve."""

    async def ask(self, group: str, versions: Sequence[str], path: str, query: Mapping[str, str]) -> Object:
        """A document of the first of the versions that is served, below its root. Raises BoxshipError."""


class Nowhere:
    """Implements Elsewhere where no other server is reached."""

    async def ask(self, group: str, versions: Sequence[str], path: str, query: Mapping[str, str]) -> Object:
        raise Failure(404, "NotFound", f"no metrics API ({group}) registered")


class Measuring:
    def __init__(self, client: Client, elsewhere: Elsewhere, scales: Scales) -> None:
        self._client = client
        self._elsewhere = elsewhere
        self._scales = scales

    async def resource(self, namespace: str, selector: str, resource: str, container: str) -> dict[str, Sample]:
        """Raises Unknown."""
        try:
            items = (await self._client.list(PODS, namespace, labels=selector)).items
        except BoxshipError as error:
            raise Unknown(f"unable to fetch metrics from resource metrics API: {error}") from error
        if not items:
            raise Unknown("no metrics returned from resource metrics API")
        found = {}
        for item in items:
            value = _used(item, resource, container)
            if value is not None:
                found[item["metadata"]["name"]] = Sample(value, seconds_of(item.get("timestamp")), _window(item))
        return found

    async def pods(self, namespace: str, selector: str, metric: Object) -> dict[str, Sample]:
        """Raises Unknown."""
        query = {"labelSelector": selector, **_metric_selector(metric, "metricLabelSelector")}
        items = await self._custom(f"namespaces/{namespace}/pods/*/{metric['name']}", query)
        return {item["describedObject"]["name"]: _sample(item) for item in items}

    async def object(self, namespace: str, described: Object, metric: Object) -> Sample:
        """Raises Unknown."""
        kind, name = described.get("kind") or "", described.get("name") or ""
        query = _metric_selector(metric, "metricLabelSelector")
        if kind == "Namespace":
            items = await self._custom(f"namespaces/{name}/metrics/{metric['name']}", query)
        else:
            resource = self._scales.resource_of(described.get("apiVersion") or "v1", kind)
            if resource is None:
                raise Unknown(f'no matches for kind "{kind}" in group "{described.get("apiVersion") or "v1"}"')
            where = f"namespaces/{namespace}/" if resource.namespaced else ""
            items = await self._custom(f"{where}{resource.qualified}/{name}/{metric['name']}", query)
        return _sample(items[0])

    async def external(self, namespace: str, metric: Object) -> int:
        """The sum of what there is, thousandths. Raises Unknown."""
        path = f"namespaces/{namespace}/{metric['name']}"
        try:
            query = _metric_selector(metric, "labelSelector")
            found = await self._elsewhere.ask(EXTERNAL, EXTERNAL_VERSIONS, path, query)
        except BoxshipError as error:
            raise Unknown(f"unable to fetch metrics from external metrics API: {error}") from error
        items = found.get("items") or ()
        if not items:
            raise Unknown("no metrics returned from external metrics API")
        return sum(parse(item.get("value") or "0").milli for item in items)

    async def _custom(self, path: str, query: Mapping[str, str]) -> Sequence[Any]:
        try:
            found = await self._elsewhere.ask(CUSTOM, CUSTOM_VERSIONS, path, query)
        except BoxshipError as error:
            raise Unknown(f"unable to fetch metrics from custom metrics API: {error}") from error
        items: Sequence[Any] = found.get("items") or ()
        if not items:
            raise Unknown("no metrics returned from custom metrics API")
        return items


def _used(item: Object, resource: str, container: str) -> int | None:
    """What a pod uses, thousandths; None: not everything of it is known."""
    total, seen = 0, False
    for one in item.get("containers") or ():
        if container and one.get("name") != container:
            continue
        seen = True
        if resource not in (one.get("usage") or {}):
            return None
        total += parse(one["usage"][resource]).milli
    if container and not seen:
        metadata = item["metadata"]
        where = f"{metadata.get('namespace', '')}/{metadata['name']}"
        raise Unknown(f"container {container} not present in metrics for pod {where}")
    return total if seen else None


def _sample(item: Object) -> Sample:
    window = item.get("windowSeconds")
    value = parse(item.get("value") or "0").milli
    return Sample(value, seconds_of(item.get("timestamp")), WINDOW if window is None else float(window))


def _window(item: Object) -> float:
    try:
        return parse_duration(item.get("window") or "") / SECOND
    except Invalid:
        return WINDOW


def _metric_selector(metric: Object, word: str) -> dict[str, str]:
    return {word: of_object(metric["selector"]).text} if metric.get("selector") is not None else {}
