"""LimitRanger: a namespace's LimitRanges give containers what they do not say, and refuse too much or too little.

Source: kubernetes.io, "Limit Ranges".
"""

from collections.abc import Iterator
from typing import Any

from boxship.cluster.api.admission import Attributes, Lookup
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import forbidden
from boxship.cluster.objects.pod_resources import Amounts, amounts, pod_amounts
from boxship.cluster.objects.quantity import parse

ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger:
    """Implements Plugin."""

    name = "LimitRanger"

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def admit(self, attributes: Attributes) -> None:
        if attributes.request.resource.path != "v1/pods" or attributes.operation != "CREATE":
            return
        if attributes.request.subresource or attributes.object is None:
            return
        for limits in await self._ranges(attributes):
            _fill(limits, attributes.object)

    async def validate(self, attributes: Attributes) -> None:
        path = attributes.request.resource.path
        made = attributes.object
        if made is None or attributes.request.subresource not in ("", "resize"):
            return
        if path == "v1/pods" and (attributes.operation == "CREATE" or attributes.request.subresource == "resize"):
            wrong = [text for limits in await self._ranges(attributes) for text in _pod_faults(limits, made)]
        elif path == "v1/persistentvolumeclaims" and attributes.operation in ("CREATE", "UPDATE"):
            wrong = [text for limits in await self._ranges(attributes) for text in _claim_faults(limits, made)]
        else:
            return
        if wrong:
            why = wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"
            raise forbidden(attributes.request.resource, attributes.name, why)

    async def _ranges(self, attributes: Attributes) -> list[Object]:
        found = await self._lookup.list("v1/limitranges", attributes.request.namespace)
        return sorted(found, key=lambda limits: str(limits["metadata"]["name"]))


def _items(limits: Object, kind: str) -> Iterator[Object]:
    for item in limits.get("spec", {}).get("limits") or ():
        if item.get("type") == kind:
            yield item


def _fill(limits: Object, pod: Object) -> None:
    """Write the defaults into containers, and say so in the annotation that the original leaves."""
    said = []
    spec = pod["spec"]
    for item in _items(limits, "Container"):
        sides = (("requests", item.get("defaultRequest") or {}), ("limits", item.get("default") or {}))
        for part, word in (("containers", "container"), ("initContainers", "init container")):
            for container in spec.get(part) or ():
                for side, defaults in sides:
                    if names := _fill_side(container, side, defaults):
                        one = "request" if side == "requests" else "limit"
                        said.append(f"{', '.join(names)} {one} for {word} {container.get('name', '')}")
    if said:
        text = f"LimitRanger plugin set: {'; '.join(said)}"
        marks = pod["metadata"].setdefault("annotations", {})
        marks[ANNOTATION] = f"{marks[ANNOTATION]}; {'; '.join(said)}" if ANNOTATION in marks else text


def _fill_side(container: Object, side: str, defaults: Object) -> list[str]:
    resources = container.get("resources") or {}
    added = [name for name in sorted(defaults) if name not in (resources.get(side) or {})]
    if added:
        resources[side] = {**(resources.get(side) or {}), **{name: defaults[name] for name in added}}
        container["resources"] = resources
    return added


def _pod_faults(limits: Object, pod: Object) -> Iterator[str]:
    spec = pod["spec"]
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for item in _items(limits, "Container"):
        for container in containers:
            resources = container.get("resources") or {}
            yield from _faults(item, "Container", amounts(resources.get("requests")), amounts(resources.get("limits")))
    for item in _items(limits, "Pod"):
        yield from _faults(item, "Pod", pod_amounts(spec, "requests"), pod_amounts(spec, "limits"))


def _claim_faults(limits: Object, claim: Object) -> Iterator[str]:
    requests = amounts((claim.get("spec", {}).get("resources") or {}).get("requests"))
    for item in _items(limits, "PersistentVolumeClaim"):
        for name, text in sorted((item.get("min") or {}).items()):
            if name in requests and requests[name] < parse(text):
                asked = requests[name].text
                yield f"minimum {name} usage per PersistentVolumeClaim is {text}, but request is {asked}"
        for name, text in sorted((item.get("max") or {}).items()):
            if name in requests and requests[name] > parse(text):
                asked = requests[name].text
                yield f"maximum {name} usage per PersistentVolumeClaim is {text}, but request is {asked}"


def _faults(item: dict[str, Any], kind: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, text in sorted((item.get("min") or {}).items()):
        least, request, limit = parse(text), requests.get(name), limits.get(name)
        if request is None:
            yield f"minimum {name} usage per {kind} is {text}. No request is specified"
        elif request < least:
            yield f"minimum {name} usage per {kind} is {text}, but request is {request.text}"
        elif limit is not None and limit < least:
            yield f"minimum {name} usage per {kind} is {text}, but limit is {limit.text}"
    for name, text in sorted((item.get("max") or {}).items()):
        most, request, limit = parse(text), requests.get(name), limits.get(name)
        if limit is None:
            yield f"maximum {name} usage per {kind} is {text}. No limit is specified"
        elif limit > most:
            yield f"maximum {name} usage per {kind} is {text}, but limit is {limit.text}"
        elif request is not None and request > most:
            yield f"maximum {name} usage per {kind} is {text}, but request is {request.text}"
    for name, text in sorted((item.get("maxLimitRequestRatio") or {}).items()):
        request, limit = requests.get(name), limits.get(name)
        if not request or not limit:
            yield f"{name} max limit to request ratio per {kind} is {text}, but no request or limit is specified"
        elif limit.nanos * 1000 > parse(text).milli * request.nanos:
            ratio = limit.nanos / request.nanos
            yield f"{name} max limit to request ratio per {kind} is {text}, but provided ratio is {ratio:.6f}"
