"""What other servers serve, as discovery shows it: asked from them when their APIServices change and every few minutes,
and remembered while they are away."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from boxship.cluster.api.aggregation.forwarding import Forwarding
from boxship.cluster.api.aggregation.services import Elsewhere, Services
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure

log = logging.getLogger("boxship.kube")

FRESH_SECONDS = 60.0
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

_decode = msgspec.json.Decoder().decode


class Joined:
    """Implements the door's Elsewhere. Keep `run` running: answers come from memory."""

    def __init__(self, services: Services, forwarding: Forwarding) -> None:
        self._services = services
        self._forwarding = forwarding
        self._known: dict[tuple[str, str], Sequence[Object]] = {}  # group and version → resources (discovery v2)
        self._asked: dict[tuple[str, str], float] = {}
        self._changes = 0

    @property
    def version(self) -> int:
        return self._services.version + self._changes

    def groups(self) -> Sequence[Object]:
        found = {each.group: self.group(each.group) for each in self._services.all()}
        return [entry for entry in found.values() if entry is not None]

    def group(self, name: str) -> Object | None:
        versions = [each.version for each in self._services.all() if each.group == name]
        if not versions:
            return None
        entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
        return {"name": name, "versions": entries, "preferredVersion": entries[0]}

    def discovered(self) -> Sequence[Object]:
        items: dict[str, Object] = {}
        for each in self._services.all():
            group = items.setdefault(
                each.group, {"metadata": {"name": each.group, "creationTimestamp": None}, "versions": []}
            )
            group["versions"].append(
                {
                    "version": each.version,
                    "resources": list(self._known.get(each.place, ())),
                    "freshness": "Current" if each.available else "Stale",
                }
            )
        return list(items.values())

    async def refresh(self, elsewhere: Elsewhere) -> None:
        """Ask a server that answers, unless it was asked a moment ago."""
        now = time.monotonic()
        if elsewhere.place in self._known and now - self._asked.get(elsewhere.place, -FRESH_SECONDS) < FRESH_SECONDS:
            return
        self._asked[elsewhere.place] = now
        try:
            async with asyncio.timeout(FRESH_SECONDS):
                found = await self._resources(elsewhere)
        except (Failure, TimeoutError, msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
            log.warning("cannot read what %s serves: %s", elsewhere.name, error)
            return
        if found != self._known.get(elsewhere.place):
            self._known[elsewhere.place] = found
            self._changes += 1

    async def _resources(self, elsewhere: Elsewhere) -> Sequence[Object]:
        status, data = await self._forwarding.fetch(elsewhere, "/apis", f"{AGGREGATED},application/json;q=0.9")
        document = _decode(data) if status == 200 else {}
        if document.get("kind") == "APIGroupDiscoveryList":
            for group in document["items"]:
                for version in group["versions"]:
                    if (group["metadata"]["name"], version["version"]) == elsewhere.place:
                        return list(version.get("resources") or ())
        path = f"/apis/{elsewhere.group}/{elsewhere.version}"
        status, data = await self._forwarding.fetch(elsewhere, path)
        if status != 200:
            raise Failure(503, "ServiceUnavailable", f"{path} answered {status}")
        return converted(_decode(data), elsewhere)


def converted(listed: Object, elsewhere: Elsewhere) -> list[Object]:
    """An APIResourceList's resources as the aggregated discovery has them."""
    found: dict[str, Object] = {}
    parts: list[Any] = []
    for each in listed.get("resources") or ():
        kind = {
            "group": each.get("group") or elsewhere.group,
            "version": each.get("version") or elsewhere.version,
            "kind": each["kind"],
        }
        name, slash, part = each["name"].partition("/")
        if slash:
            parts.append((name, {"subresource": part, "responseKind": kind, "verbs": each.get("verbs") or []}))
            continue
        entry = {
            "resource": name,
            "responseKind": kind,
            "scope": "Namespaced" if each.get("namespaced") else "Cluster",
            "singularResource": each.get("singularName") or each["kind"].lower(),
            "verbs": each.get("verbs") or [],
        }
        for key in ("shortNames", "categories"):
            if each.get(key):
                entry[key] = each[key]
        found[name] = entry
    for name, entry in parts:
        if name in found:
            found[name].setdefault("subresources", []).append(entry)
    return list(found.values())
