"""Makes addresses and node ports agree with the Services again, where somebody deleted what was given out, or a backup
was brought in: what nobody has is free, what somebody has is taken. Once at the start, then whenever an address goes.

Every repair is bound to what it saw, so it may be done by several servers at once, and never takes anything away that
came meanwhile.
"""

import asyncio
import logging
from collections.abc import AsyncIterator

import msgspec

from boxship.cluster.api.clock import Clock
from boxship.cluster.api.service_addresses import IP_KEY, MANAGER, OURS, address_object
from boxship.cluster.api.services import PORT_KEY, addresses_of, ports_of
from boxship.cluster.api.storage import ROOT, Storage
from boxship.cluster.objects import Object
from boxship.errors import BoxshipError, Conflict
from boxship.store import Delete, Entry, Operation, Put

log = logging.getLogger(__name__)

SERVICES_KEY = f"{ROOT}services/specs/"
SLICE = 100  # objects before others have their turn
AGAIN_SECONDS = 10.0


class ServiceRepair:
    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._store = storage.store
        self._clock = clock

    async def run(self) -> None:
        """Without end."""
        while True:
            try:
                after = await self.repair()
                async for change in self._store.watch(IP_KEY, after=after):
                    if change.value is None and change.previous is not None:
                        await self._miss(self._storage.opened(change.previous))
            except BoxshipError as error:
                log.warning("cannot look after the addresses of services: %s", error)
                await asyncio.sleep(AGAIN_SECONDS)

    async def repair(self) -> int:
        """Everything once; the revision of the store before."""
        taken = await self._store.list(IP_KEY)
        addresses = self._storage.opened_all(taken.entries)
        ports = await self._store.list(PORT_KEY)
        known = {entry.key: entry for entry in (*addresses, *ports.entries)}
        wanted: dict[str, Object] = {}
        async for service in self._services():
            for ip in addresses_of(service):
                wanted[f"{IP_KEY}{ip}"] = service
            for port in ports_of(service):
                wanted[f"{PORT_KEY}{port}"] = service
        for key, entry in known.items():
            if key not in wanted and _is_ours(entry) and not await self._has(key, entry):
                await self._do(Delete(key, entry.modified))
        for key, service in wanted.items():
            if key not in known:
                await self._give(key, service)
        return taken.revision

    async def _services(self) -> AsyncIterator[Object]:
        for count, entry in enumerate((await self._store.list(SERVICES_KEY)).entries, 1):
            yield msgspec.json.decode(self._storage.opened(entry).value)
            if count % SLICE == 0:
                await asyncio.sleep(0)

    async def _miss(self, gone: Entry) -> None:
        """An address went; its Service may still be there."""
        service = await self._service(*_owner_of(gone))
        if service is not None and gone.key[len(IP_KEY) :] in addresses_of(service):
            await self._give(gone.key, service)

    async def _has(self, key: str, entry: Entry) -> bool:
        """Whether the Service that it was given to has it after all."""
        service = await self._service(*_owner_of(entry))
        if service is None:
            return False
        named = key.rpartition("/")[2]
        return named in {*addresses_of(service), *map(str, ports_of(service))}

    async def _give(self, key: str, service: Object) -> None:
        metadata = service["metadata"]
        place = metadata.get("namespace", ""), metadata["name"]
        if await self._service(*place) is None:
            return
        if key.startswith(IP_KEY):
            await self._do(Put(key, address_object(service, key[len(IP_KEY) :], self._clock), expected=0))
        else:
            await self._do(Put(key, "/".join(place).encode(), expected=0))

    async def _service(self, namespace: str, name: str) -> Object | None:
        entry = await self._store.get(f"{SERVICES_KEY}{namespace}/{name}") if name else None
        return None if entry is None else dict(msgspec.json.decode(self._storage.opened(entry).value))

    async def _do(self, operation: Operation) -> None:
        try:
            await self._store.commit(operation)
        except Conflict:
            return  # it is another one by now
        log.info("made %s agree with the services", operation.key)


def _is_ours(entry: Entry) -> bool:
    """Whether the API gave it out: addresses of other origin belong to whom made them."""
    if entry.key.startswith(PORT_KEY):
        return True
    labels = msgspec.json.decode(entry.value)["metadata"].get("labels") or {}
    return bool(labels.get(MANAGER) == OURS)


def _owner_of(entry: Entry) -> tuple[str, str]:
    """Namespace and name of the Service that it was given to."""
    if entry.key.startswith(PORT_KEY):
        namespace, _, name = entry.value.decode().partition("/")
        return namespace, name
    parent = (msgspec.json.decode(entry.value).get("spec") or {}).get("parentRef") or {}
    if parent.get("resource") != "services":
        return "", ""
    return str(parent.get("namespace") or ""), str(parent.get("name") or "")
