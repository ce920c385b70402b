"""Every flow schema says whether the priority level that it names exists: its condition `Dangling` (kubernetes.io, "API
Priority and Fairness"; the original's words)."""

from collections.abc import Callable

from boxship.cluster.access import Client
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again

GROUP = "flowcontrol.apiserver.k8s.io/v1"
SCHEMAS, LEVELS = f"{GROUP}/flowschemas", f"{GROUP}/prioritylevelconfigurations"


class FlowSchemas:
    """`now` gives the time as a stamp."""

    name = "flowschema-status-controller"
    workers = 1

    def __init__(self, client: Client, schemas: Cache, levels: Cache, now: Callable[[], str]) -> None:
        self._client = client
        self._schemas = schemas
        self._levels = levels
        self._now = now
        self.caches = (schemas, levels)
        self.queue: Queue[str] = Queue()
        schemas.subscribe(self._schema_changed)
        levels.subscribe(self._level_changed)

    async def reconcile(self, name: str) -> Again | None:
        schema = self._schemas.get(("", name))
        if schema is None:
            return None
        level = level_of(schema)
        status = told(schema, self._levels.get(("", level)) is not None, self._now())
        if status is not None:
            await self._client.update(SCHEMAS, {**schema, "status": status}, subresource="status")
        return None

    def _schema_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.queue.add(key[1])

    def _level_changed(self, key: Key, old: object, new: object) -> None:
        if (old is None) != (new is None):
            for place, schema in self._schemas.items():
                if level_of(schema) == key[1]:
                    self.queue.add(place[1])


def level_of(schema: Object) -> str:
    return str(((schema.get("spec") or {}).get("priorityLevelConfiguration") or {}).get("name", ""))


def told(schema: Object, exists: bool, now: str) -> Object | None:
    """The status as it should be; None: it is."""
    name = level_of(schema)
    words = ("and it exists", "Found", "False") if exists else ("but there is no such object", "NotFound", "True")
    condition = {
        "type": "Dangling",
        "status": words[2],
        "lastTransitionTime": now,
        "reason": words[1],
        "message": f'This FlowSchema references the PriorityLevelConfiguration object named "{name}" {words[0]}',
    }
    status = schema.get("status") or {}
    conditions = status.get("conditions") or []
    known = next((one for one in conditions if one.get("type") == "Dangling"), None)
    if known is not None and all(known.get(key) == condition[key] for key in ("status", "reason", "message")):
        return None
    if known is not None and known.get("status") == condition["status"]:
        condition["lastTransitionTime"] = known.get("lastTransitionTime", now)
    others = [one for one in conditions if one.get("type") != "Dangling"]
    return {**status, "conditions": [*others, condition]}
