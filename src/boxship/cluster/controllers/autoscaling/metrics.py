"""One metric of a scaler: its samples, the number of replicas that they ask for, and what the status says of it."""

from collections.abc import Mapping, Sequence

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.controllers.autoscaling.facts import Pod, Sample, Unknown, facts_of, requests_of
from boxship.cluster.controllers.autoscaling.measuring import Measuring
from boxship.cluster.controllers.autoscaling.proposing import (
    NO_PODS,
    Groups,
    Proposal,
    Tolerance,
    Waits,
    by_average,
    by_share,
    by_usage,
    by_value,
    grouped,
)
from boxship.cluster.objects import Object
from boxship.cluster.objects.quantity import of_milli, parse
from boxship.errors import BoxshipError


class Target(msgspec.Struct, frozen=True):
    """What is scaled: how many there should be and are, and its pods."""

    namespace: str
    wanted: int
    there: int
    selector: str
    tolerance: Tolerance
    now: float


class Asked(msgspec.Struct, frozen=True):
    """So many replicas, as far as this metric is concerned."""

    replicas: int
    name: str
    status: Object


class Refused(Exception):
    """A metric that says nothing: its reason, and its text as that metric's event has it. `before`: what the text of
    all metrics together says before that."""

    def __init__(self, reason: str, text: str, before: str = "") -> None:
        super().__init__(text)
        self.reason = reason
        self.whole = f"{before}{text}"


class Metrics:
    """Measures; a pod's list is read once for each scaler and round."""

    def __init__(self, client: Client, measuring: Measuring, waits: Waits) -> None:
        self._client = client
        self._measuring = measuring
        self._waits = waits

    async def ask(self, metric: Object, target: Target, pods: Sequence[Object]) -> Asked:
        """Raises Refused."""
        found = [facts_of(pod) for pod in pods]
        match metric.get("type"):
            case "Resource":
                return await self._resource(metric["resource"], target, found)
            case "ContainerResource":
                return await self._resource(metric["containerResource"], target, found)
            case "Pods":
                return await self._pods(metric["pods"], target, found)
            case "Object":
                return await self._object(metric["object"], target, found)
            case "External":
                return await self._external(metric["external"], target, found)
        text = f'unknown metric source type "{metric.get("type")}"'
        raise Refused("InvalidMetricSourceType", text)

    async def _resource(self, source: Object, target: Target, pods: Sequence[Pod]) -> Asked:
        name, container, wanted = source["name"], source.get("container") or "", source.get("target") or {}
        kind = "containerResource" if container else "resource"
        share: int = wanted.get("averageUtilization") or 0
        word = "usage" if wanted.get("averageValue") is not None else "utilization"
        try:
            if wanted.get("averageValue") is None and not share:
                raise Unknown(
                    "invalid resource metric source: neither an average utilization target nor an average "
                    "value (usage) target was set"
                )
            try:
                samples = await self._measuring.resource(target.namespace, target.selector, name, container)
            except Unknown as error:
                raise Unknown(f"unable to get metrics for resource {name}: {error}") from None
            groups = self._grouped(pods, samples, name, target)
            if wanted.get("averageValue") is not None:
                milli = parse(wanted["averageValue"]).milli
                proposal = by_usage(target.wanted, milli, samples, groups, target.tolerance)
            else:
                requests = requests_of(pods, name, container)
                proposal = by_share(target.wanted, share, samples, pods, requests, groups, target.tolerance)
        except Unknown as error:
            what = f"{container} container" if container else f"{name} resource"
            reason = "FailedGetContainerResourceMetric" if container else "FailedGetResourceMetric"
            text, before = f"failed to get {name} {word}: {error}", f"failed to get {what} metric value: "
            raise Refused(reason, text, before) from None
        title = f"{name} resource"
        if word != "usage":
            title = f"{name} {'container ' if container else ''}resource utilization (percentage of request)"
        current: Object = {"averageValue": of_milli(proposal.usage).text}
        if proposal.share is not None:
            current["averageUtilization"] = proposal.share
        said = {"name": name, **({"container": container} if container else {}), "current": current}
        return Asked(proposal.replicas, title, {"type": kind[:1].upper() + kind[1:], kind: said})

    async def _pods(self, source: Object, target: Target, pods: Sequence[Pod]) -> Asked:
        metric = source["metric"]
        try:
            try:
                samples = await self._measuring.pods(target.namespace, target.selector, metric)
            except Unknown as error:
                raise Unknown(f"unable to get metric {metric['name']}: {error}") from None
            milli = parse(source["target"].get("averageValue") or "0").milli
            proposal = by_usage(
                target.wanted, milli, samples, self._grouped(pods, samples, "", target), target.tolerance
            )
        except Unknown as error:
            raise Refused("FailedGetPodsMetric", str(error), "failed to get pods metric value: ") from None
        said = {"metric": metric, "current": {"averageValue": of_milli(proposal.usage).text}}
        return Asked(proposal.replicas, f"pods metric {metric['name']}", {"type": "Pods", "pods": said})

    async def _object(self, source: Object, target: Target, pods: Sequence[Pod]) -> Asked:
        metric, described, wanted = source["metric"], source["describedObject"], source.get("target") or {}
        name = metric["name"]
        try:
            try:
                usage = (await self._measuring.object(target.namespace, described, metric)).value
            except Unknown as error:
                where = f"{described.get('kind')} {target.namespace}/{described.get('name')}"
                raise Unknown(f"unable to get metric {name}: {error} on {where}") from None
            proposal, current = _of_one(wanted, usage, target, pods)
        except Unknown as error:
            before = "failed to get object metric value: "
            if wanted.get("averageValue") is not None:
                before += f"failed to get {name} object metric: "
            raise Refused("FailedGetObjectMetric", str(error), before) from None
        title = f"{described.get('kind')} metric {name}" if "value" in current else _external_title(metric)
        said = {"describedObject": described, "metric": metric, "current": current}
        return Asked(proposal.replicas, title, {"type": "Object", "object": said})

    async def _external(self, source: Object, target: Target, pods: Sequence[Pod]) -> Asked:
        metric, wanted = source["metric"], source.get("target") or {}
        name, shown = metric["name"], _selector(metric)
        try:
            try:
                usage = await self._measuring.external(target.namespace, metric)
            except Unknown as error:
                where = f"{target.namespace}/{name}/{shown}"
                raise Unknown(f"unable to get external metric {where}: {error}") from None
            proposal, current = _of_one(wanted, usage, target, pods)
        except Unknown as error:
            before = f"failed to get {name} external metric value: failed to get {name} external metric: "
            raise Refused("FailedGetExternalMetric", str(error), before) from None
        said = {"metric": metric, "current": current}
        return Asked(proposal.replicas, _external_title(metric), {"type": "External", "external": said})

    def _grouped(self, pods: Sequence[Pod], samples: Mapping[str, Sample], resource: str, target: Target) -> Groups:
        if not pods:
            raise Unknown(NO_PODS)
        return grouped(pods, samples, resource, target.now, self._waits)


def _of_one(wanted: Object, usage: int, target: Target, pods: Sequence[Pod]) -> tuple[Proposal, Object]:
    """Of an amount for all replicas together, or for each of them."""
    if wanted.get("averageValue") is not None:
        proposal = by_average(target.there, parse(wanted["averageValue"]).milli, usage, target.tolerance)
        return proposal, {"averageValue": of_milli(proposal.usage).text}
    if wanted.get("value") is None:
        raise Unknown("invalid metric source: neither a value target nor an average value target was set")
    proposal = by_value(target.wanted, parse(wanted["value"]).milli, usage, pods, target.tolerance)
    return proposal, {"value": of_milli(proposal.usage).text}


def _external_title(metric: Object) -> str:
    return f"external metric {metric['name']}({_selector(metric)})"


def _selector(metric: Object) -> str:
    """As the original's texts show it."""
    selector = metric.get("selector")
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{}},}}"
    )


async def pods_of(client: Client, namespace: str, selector: str) -> Sequence[Object]:
    """Raises Unknown."""
    try:
        return (await client.list("v1/pods", namespace, labels=selector)).items
    except BoxshipError as error:
        raise Unknown(f"unable to get pods while calculating replica count: {error}") from error
