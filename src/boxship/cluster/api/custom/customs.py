"""Follows the CustomResourceDefinitions in the store: an established one is in the catalogue and in the documents at
once, a new one gets its names and conditions, one that ends takes its objects along.

Every API server of a cluster runs this; they meet in the store only, where the second to write the same status changes
nothing.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Mapping

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.api.admission import Lookup
from boxship.cluster.api.catalog import Catalog, Convert
from boxship.cluster.api.clock import Clock
from boxship.cluster.api.custom.conversion import Converter
from boxship.cluster.api.custom.definitions import Served, serve
from boxship.cluster.api.custom.names import is_established, judged, neighbours
from boxship.cluster.api.custom.removing import DEFINITIONS, Remover, ends
from boxship.cluster.api.storage import ROOT, Storage, decode
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.openapi.documents import Documents
from boxship.cluster.objects.schema.types import Type
from boxship.cluster.objects.times import stamp
from boxship.errors import BoxshipError
from boxship.store import Compacted, Entry
from boxship.transport.client import HttpClient

log = logging.getLogger("boxship-control")

PREFIX = f"{ROOT}apiextensions.k8s.io/customresourcedefinitions/"
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
RETRY_SECONDS = 1.0
DIGEST_SIZE = 16  # bytes
UNFIT = (LookupError, TypeError, ValueError, AttributeError)  # what our API did not write
ANNOTATION_LIMIT = 1024  # characters; longer ones hold a copy of the definition


class Customs:
    """`client` acts for the API itself, without admission."""

    def __init__(
        self,
        storage: Storage,
        catalog: Catalog,
        documents: Documents,
        client: Client,
        http: HttpClient,
        lookup: Lookup,
        clock: Clock,
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._documents = documents
        self._client = client
        self._http = http
        self._lookup = lookup
        self._clock = clock
        self._metadata = catalog.schemas.definition(OBJECT_META)
        self._seen: dict[str, Object] = {}
        self._served: dict[str, Served] = {}
        self._revision = 0
        self._news = asyncio.Event()
        self._unsettled: dict[str, None] = {}
        self._remover = Remover(storage, catalog, client, clock, self._seen.get)

    async def prepare(self) -> None:
        """Serve what is there."""
        snapshot = await self._storage.list(PREFIX)
        self._revision = snapshot.revision
        known = {entry.key.removeprefix(PREFIX): entry for entry in snapshot.entries}
        for name in [name for name in self._seen if name not in known]:
            self._forget(name)
        for name, entry in known.items():
            await self._learn(name, self._storage.opened(entry))
        self._publish()

    async def follow(self) -> None:
        """Without end."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._settle(tasks))
            while True:
                try:
                    await self._watch()
                except Compacted:
                    await self.prepare()
                except BoxshipError as error:
                    log.warning("custom resources cannot be followed: %s", error)
                    await asyncio.sleep(RETRY_SECONDS)

    async def _watch(self) -> None:
        async for change in self._storage.store.watch(PREFIX, after=self._revision):
            name = change.key.removeprefix(PREFIX)
            if change.value is None:
                self._forget(name)
            else:
                entry = Entry(change.key, change.value, change.revision, change.revision)
                await self._learn(name, self._storage.opened(entry))
            self._revision = change.revision
            self._publish()

    async def _learn(self, name: str, entry: Entry) -> None:
        try:
            definition = decode(entry.value, entry.modified)
            before, light = self._seen.get(name), _light(definition)
        except (msgspec.DecodeError, *UNFIT) as error:
            log.warning("the custom resource %s cannot be read: %r", name, error)
            self._forget(name)
            return
        self._seen[name] = light
        self._unsettle(light)
        if not is_established(definition):
            self._served.pop(name, None)
        elif before is None or _differs(light, before) or name not in self._served:
            try:
                self._served[name] = await asyncio.to_thread(serve, definition, self._metadata, self._converting)
            except (BoxshipError, *UNFIT) as error:
                log.warning("the custom resource %s cannot be served: %r", name, error)
                self._served.pop(name, None)

    def _forget(self, name: str) -> None:
        definition = self._seen.pop(name, None)
        self._served.pop(name, None)
        if definition is not None:
            self._unsettle(definition)

    def _publish(self) -> None:
        served = [self._served[name] for name in sorted(self._served)]
        self._catalog.replace(definition for each in served for definition in each.definitions)
        self._documents.replace(kind for each in served for kind in each.kinds)

    def _converting(self, spec: Object, types: Mapping[str, Type]) -> Convert:
        return Converter(spec, types, self._http, self._lookup).convert

    def _unsettle(self, definition: Object) -> None:
        """A name that is taken or freed concerns its whole group."""
        group = definition["spec"]["group"]
        self._unsettled |= {name: None for name, each in self._seen.items() if each["spec"]["group"] == group}
        self._news.set()

    async def _settle(self, tasks: asyncio.TaskGroup) -> None:
        """Write the statuses that names and conditions come to; start the end of what ends."""
        ending: dict[str, asyncio.Task[None]] = {}
        while True:
            await self._news.wait()
            self._news.clear()
            while self._unsettled:
                name = next(iter(self._unsettled))
                del self._unsettled[name]
                definition = self._seen.get(name)
                if definition is None:
                    continue
                if ends(definition):
                    running = ending.get(name)
                    if running is None or running.done():
                        ending[name] = tasks.create_task(self._remove(name))
                else:
                    try:
                        await self._accept(definition)
                    except UNFIT as error:
                        log.warning("the status of %s cannot be written: %r", name, error)
            ending = {name: task for name, task in ending.items() if not task.done()}

    async def _accept(self, definition: Object) -> None:
        others = neighbours(definition, list(self._seen.values()))
        status = judged(definition, others, stamp(self._clock.now()))
        if status == definition.get("status"):
            return
        metadata = definition["metadata"]
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
            {"op": "add", "path": "/status", "value": status},
        ]
        # Where the test fails there is a newer state, which comes by the watch.
        with contextlib.suppress(Failure):
            await self._client.patch(DEFINITIONS, "", metadata["name"], patch, subresource="status")

    async def _remove(self, name: str) -> None:
        while True:
            try:
                return await self._remover.remove(name)
            except (BoxshipError, *UNFIT) as error:
                log.warning("the objects of %s cannot be deleted: %r", name, error)
                await asyncio.sleep(RETRY_SECONDS)


def _light(definition: Object) -> Object:
    """What has to be remembered: all but the schemas, which only a digest stands for."""
    spec = definition["spec"]
    kept = {key: spec[key] for key in ("group", "names", "scope")}
    kept["versions"] = [{key: each.get(key) for key in ("name", "served", "storage")} for each in spec["versions"]]
    kept["digest"] = hashlib.blake2b(msgspec.json.encode(spec), digest_size=DIGEST_SIZE).hexdigest()
    metadata = {key: value for key, value in definition["metadata"].items() if key != "managedFields"}
    annotations = metadata.get("annotations") or {}
    metadata["annotations"] = {key: value for key, value in annotations.items() if len(value) < ANNOTATION_LIMIT}
    return {"metadata": metadata, "spec": kept, "status": definition.get("status") or {}}


def _differs(new: Object, old: Object) -> bool:
    """Whether what is served may be another."""
    if new["spec"] != old["spec"] or is_established(new) != is_established(old):
        return True
    names = [(each.get("status") or {}).get("acceptedNames") for each in (new, old)]
    ending = ["deletionTimestamp" in each["metadata"] for each in (new, old)]
    return names[0] != names[1] or ending[0] != ending[1]
