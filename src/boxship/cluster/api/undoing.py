"""Taking changes back: brings objects to the state that they had, by writes like everybody's, so that admission,
validation, quotas and watches see them. What was deleted is made again, with a new identity; what is new is deleted.

What controllers make by themselves is left to them; states (`status`) are facts and are never taken back.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import msgspec

from boxship.cluster.api.history import History, Scope, Turn
from boxship.cluster.api.request import Body, Options, Reply, Request, User
from boxship.cluster.objects import Object
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Failure

OWN = ("uid", "resourceVersion", "creationTimestamp", "generation", "selfLink", "managedFields")
DYING = ("deletionTimestamp", "deletionGracePeriodSeconds")
JOB_LABELS = ("controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name")
# What others stand on comes first, and goes last.
ORDER = (
    "namespaces",
    "customresourcedefinitions.apiextensions.k8s.io",
    "serviceaccounts",
    "secrets",
    "configmaps",
    "persistentvolumes",
    "persistentvolumeclaims",
    "roles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "services",
)

Perform = Callable[[Request], Awaitable[Reply]]


class Undone(msgspec.Struct, frozen=True):
    """One object that was brought back, or not: `action` is create, update, delete or leave; `error` says why not."""

    action: str
    resource: str
    namespace: str
    name: str
    error: str = ""


class Undoing:
    """Writes old states back through `perform`."""

    def __init__(self, history: History, perform: Perform) -> None:
        self._history = history
        self._perform = perform

    async def undo(
        self, scope: Scope, since: datetime, user: User, agent: str, *, dry_run: bool = False
    ) -> list[Undone]:
        """Bring all that is in the scope to what it was. What one object refuses keeps no other from its turn."""
        turns = await self._history.turns(scope, since)
        done = []
        for turn in sorted(turns, key=_rank):
            action, why = plan(turn, alone=bool(scope.name))
            if action != "leave":
                why = await self._do(action, turn, user, agent, dry_run)
            done.append(Undone(action, turn.resource.path, turn.namespace, turn.name, why))
        return done

    async def _do(self, action: str, turn: Turn, user: User, agent: str, dry_run: bool) -> str:
        """One write; why it was refused, or ""."""
        options = Options(dry_run=dry_run, field_manager=agent, field_validation="Ignore")
        body = None
        if action == "delete":
            assert turn.after is not None
            uid = turn.after["metadata"].get("uid", "")
            options = msgspec.structs.replace(
                options, precondition_uid=uid, precondition_version=str(turn.version), propagation="Background"
            )
        else:
            object = renewed(turn) if action == "create" else restored(turn)
            body = Body("application/json", msgspec.json.encode(object))
        request = Request(
            user=user,
            verb=action,
            resource=turn.resource,
            namespace=turn.namespace,
            name="" if action == "create" else turn.name,
            options=options,
            body=body,
            agent=agent,
            warn=[],
            notes={},
        )
        try:
            await self._perform(request)
        except Failure as failure:
            return str(failure)
        return ""


def plan(turn: Turn, alone: bool) -> tuple[str, str]:
    """What brings an object back, and why it is left if it is. `alone`: this one object was asked for."""
    before, after = turn.before, turn.after
    if not alone and any(_controlled(state) for state in (before, after)):
        return "leave", "a controller looks after it"
    if after is not None and after["metadata"].get("deletionTimestamp"):
        return "leave", "it is being deleted"
    if before is not None and before["metadata"].get("deletionTimestamp"):
        return "leave", "it was being deleted then"
    if before is None:
        if turn.resource.qualified == "namespaces" and not alone:
            return "leave", "a namespace is deleted only by its own name"
        return "delete", ""
    return ("update" if after is not None else "create"), ""


def restored(turn: Turn) -> Object:
    """What an update sends: the old state, and what the object is now."""
    assert turn.before is not None and turn.after is not None
    object: Object = copied(turn.before)
    metadata = object["metadata"]
    for field in (*OWN, *DYING):
        metadata.pop(field, None)
    metadata["uid"] = turn.after["metadata"]["uid"]
    metadata["resourceVersion"] = str(turn.version)
    return object


def renewed(turn: Turn) -> Object:
    """What a create sends: the old state without what belonged to the object that is gone."""
    assert turn.before is not None
    object: Object = copied(turn.before)
    metadata = object["metadata"]
    for field in (*OWN, *DYING):
        metadata.pop(field, None)
    object.pop("status", None)
    spec = object.get("spec")
    if not isinstance(spec, dict):
        return object
    if turn.resource.qualified == "pods":
        spec.pop("nodeName", None)
    if turn.resource.qualified == "persistentvolumes" and isinstance(spec.get("claimRef"), dict):
        for field in ("uid", "resourceVersion"):
            spec["claimRef"].pop(field, None)
    if turn.resource.qualified == "jobs.batch" and not spec.get("manualSelector"):
        spec.pop("selector", None)
        _without(metadata.get("labels"), JOB_LABELS)
        _without(spec.get("template", {}).get("metadata", {}).get("labels"), JOB_LABELS)
    return object


def _without(labels: Object | None, names: Sequence[str]) -> None:
    for name in names:
        if labels:
            labels.pop(name, None)


def _controlled(object: Object | None) -> bool:
    owners = (object or {}).get("metadata", {}).get("ownerReferences") or ()
    return any(owner.get("controller") for owner in owners)


def _rank(turn: Turn) -> tuple[int, str, str]:
    place = ORDER.index(turn.resource.qualified) if turn.resource.qualified in ORDER else len(ORDER)
    return (-place if turn.before is None else place, turn.namespace, turn.name)
