"""Whether the servers behind APIServices answer, as their `Available` condition tells; and the APIServices of this
server's own groups, which people see beside them and nobody has to make."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from boxship.cluster.access import Client
from boxship.cluster.api.admission.webhooks.calling import NoEndpoints, NoService
from boxship.cluster.api.aggregation.discovery import Joined
from boxship.cluster.api.aggregation.forwarding import Forwarding
from boxship.cluster.api.aggregation.services import AUTOMANAGED, GROUP, RESOURCE, Elsewhere, Services
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.clock import Clock
from boxship.cluster.objects import Object
from boxship.cluster.objects.catalog import GROUP_VERSIONS
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.times import stamp

log = logging.getLogger("boxship.kube")

ASK_SECONDS = 30.0  # between questions to a server that answers
RETRY_SECONDS = 2.0  # to one that does not
ANSWER_SECONDS = 5.0
FIRST_PRIORITY, STEP = 18_000, 100  # of our own groups, in their order
CUSTOM_PRIORITY = (1000, 100)


class Availability:
    """Keep `run` running. `client` acts for the API itself."""

    def __init__(
        self, services: Services, forwarding: Forwarding, joined: Joined, catalog: Catalog, client: Client, clock: Clock
    ) -> None:
        self._services = services
        self._forwarding = forwarding
        self._joined = joined
        self._catalog = catalog
        self._client = client
        self._clock = clock
        self._due: dict[str, tuple[Elsewhere, float]] = {}

    async def run(self) -> None:
        """Without end."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._services.follow())
            tasks.create_task(self._register())
            tasks.create_task(self._look())

    # our own groups

    async def _register(self) -> None:
        while True:
            version = self._catalog.version
            changed = self._catalog.changed
            try:
                await self._register_once()
            except Failure as error:
                log.warning("cannot register our own groups: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if self._catalog.version == version:
                await changed.wait()

    async def _register_once(self) -> None:
        wanted = own_services(self._catalog)
        found = await self._client.list(RESOURCE)
        present = {each["metadata"]["name"]: each for each in found.items}
        for name, object in wanted.items():
            if name not in present:
                try:
                    await self._client.create(RESOURCE, "", object)
                except Failure as error:
                    if error.reason != "AlreadyExists":
                        raise
        for name, object in present.items():
            if name not in wanted and AUTOMANAGED in (object["metadata"].get("labels") or {}):
                try:
                    await self._client.delete(RESOURCE, "", name)
                except Failure as error:
                    if error.reason != "NotFound":
                        raise

    # those of others

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            while True:
                changed = self._services.changed
                known = self._services.all()
                for gone in self._due.keys() - {each.name for each in known}:
                    del self._due[gone]
                for each in known:
                    seen, due = self._due.get(each.name, (None, 0.0))
                    if seen is not None and _same_target(seen, each) and loop.time() < due:
                        continue
                    self._due[each.name] = (each, loop.time() + ANSWER_SECONDS + RETRY_SECONDS)
                    tasks.create_task(self._ask(each))
                due_first = min((due for _, due in self._due.values()), default=None)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(due_first):
                        await changed.wait()

    async def _ask(self, elsewhere: Elsewhere) -> None:
        condition = await self._examine(elsewhere)
        available = condition["status"] == "True"
        if available:
            await self._joined.refresh(elsewhere)
        try:
            await self._tell(elsewhere, condition)
        except Failure as error:
            if error.reason not in ("NotFound", "Conflict"):
                log.warning("cannot say of %s whether it answers: %s", elsewhere.name, error)
        pause = ASK_SECONDS if available else RETRY_SECONDS
        self._due[elsewhere.name] = (elsewhere, asyncio.get_running_loop().time() + pause)

    async def _examine(self, elsewhere: Elsewhere) -> Object:
        """The condition as it should be, without its time."""
        path = f"/apis/{elsewhere.group}/{elsewhere.version}"
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status, _ = await self._forwarding.fetch(elsewhere, path)
        except TimeoutError:
            return _condition("False", "FailedDiscoveryCheck", f"failing or missing response from {path}: timeout")
        except Failure as error:
            where = f"{elsewhere.namespace}/{elsewhere.service}"
            if isinstance(error.__cause__, NoService):
                return _condition(
                    "False", "ServiceNotFound", f'service/{elsewhere.service} in "{elsewhere.namespace}" is not present'
                )
            if isinstance(error.__cause__, NoEndpoints):
                return _condition("False", "MissingEndpoints", f"endpoints for service/{where} have no addresses")
            return _condition("False", "FailedDiscoveryCheck", f"failing or missing response from {path}: {error}")
        if status < 200 or (status >= 300 and status not in (401, 403)):
            why = f"failing or missing response from {path}: bad status: {status}"
            return _condition("False", "FailedDiscoveryCheck", why)
        return _condition("True", "Passed", "all checks passed")

    async def _tell(self, elsewhere: Elsewhere, condition: Object) -> None:
        object = await self._client.get(RESOURCE, "", elsewhere.name)
        conditions = list((object.get("status") or {}).get("conditions") or ())
        old: Object = next((each for each in conditions if each.get("type") == "Available"), {})
        if all(old.get(key) == value for key, value in condition.items()):
            return
        moved = old.get("status") != condition["status"]
        condition["lastTransitionTime"] = stamp(self._clock.now()) if moved else old.get("lastTransitionTime")
        object["status"] = {"conditions": [each for each in conditions if each is not old] + [condition]}
        await self._client.update(RESOURCE, object, subresource="status")


def own_services(catalog: Catalog) -> Mapping[str, Object]:
    """The APIServices of what this server serves itself, by name."""
    found: dict[str, Object] = {}
    places = dict.fromkeys((resource.group, resource.version) for resource in (*catalog.all(), *catalog.computed()))
    order = list(GROUP_VERSIONS)
    for group, version in places:
        priority = CUSTOM_PRIORITY
        managed = "true"
        if group in GROUP_VERSIONS:
            versions = GROUP_VERSIONS[group]
            priority = (
                FIRST_PRIORITY - STEP * order.index(group),
                15 + 15 * (len(versions) - versions.index(version) - 1),
            )
            managed = "onstart"
        name = f"{version}.{group}"
        found[name] = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "APIService",
            "metadata": {"name": name, "labels": {AUTOMANAGED: managed}},
            "spec": {
                "group": group,
                "version": version,
                "groupPriorityMinimum": priority[0],
                "versionPriority": priority[1],
            },
        }
    return found


def _same_target(old: Elsewhere, new: Elsewhere) -> bool:
    return (old.namespace, old.service, old.port, old.authority, old.insecure) == (
        new.namespace,
        new.service,
        new.port,
        new.authority,
        new.insecure,
    )


def _condition(status: str, reason: str, message: str) -> Object:
    return {"type": "Available", "status": status, "reason": reason, "message": message}
