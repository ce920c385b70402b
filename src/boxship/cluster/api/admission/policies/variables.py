"""What an expression of a policy sees, and the values of that for one write."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from boxship.cluster.api.admission import Attributes
from boxship.cluster.api.admission.policies import authorizer
from boxship.cluster.api.admission.policies.authorizer import Asker, Decide
from boxship.cluster.api.request import of_request
from boxship.cluster.objects import Object
from boxship.cluster.objects.cel import environment
from boxship.cluster.objects.cel.building import Objects
from boxship.cluster.objects.cel.environment import Frame, Program
from boxship.cluster.objects.cel.functions import Library, library
from boxship.cluster.objects.cel.kinds import BOOL, DYN, STRING, Kind, list_of, map_of

POLICY_BUDGET = 600_000  # steps of all expressions of a policy on one write
QUICK_BUDGET = 3_000  # steps, some milliseconds, that are taken while everybody waits

Result = TypeVar("Result")

_GVK = Kind("object", schema={"group": STRING, "version": STRING, "kind": STRING})
_GVR = Kind("object", schema={"group": STRING, "version": STRING, "resource": STRING})
_USER = Kind(
    "object",
    schema={"username": STRING, "uid": STRING, "groups": list_of(STRING), "extra": map_of(STRING, list_of(STRING))},
)
REQUEST = Kind(
    "object",
    schema={
        "kind": _GVK,
        "resource": _GVR,
        "subResource": STRING,
        "requestKind": _GVK,
        "requestResource": _GVR,
        "requestSubResource": STRING,
        "name": STRING,
        "namespace": STRING,
        "operation": STRING,
        "userInfo": _USER,
        "dryRun": BOOL,
        "options": DYN,
    },
)
DECLARED: Mapping[str, Kind] = {
    "object": DYN,
    "oldObject": DYN,
    "request": REQUEST,
    "namespaceObject": DYN,
    "authorizer": authorizer.KIND,
}
_PATCH = {"op": STRING, "path": STRING, "from": STRING, "value": DYN}
JSON_PATCH = Kind("object", schema=_PATCH)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


PATCH_LIBRARY: Library = library([("!jsonpatch.escapeKey(string) -> string", _escaped)])
ALL: Library = {**authorizer.LIBRARY, **PATCH_LIBRARY}


def _object_kind(name: str) -> Kind | None:
    """Objects that a mutation makes: parts of the object ("Object.spec"), and JSON patches."""
    if name == "JSONPatch":
        return JSON_PATCH
    return Kind(name) if name == "Object" or name.startswith("Object.") else None


OBJECTS = Objects(_object_kind)


def compiled(
    text: str, declared: Mapping[str, Kind], gives: tuple[Kind, ...] = (), *, mutates: bool = False
) -> Program:
    """A policy's expression. Raises Invalid."""
    return environment.compile(text, declared, gives=gives, extra=ALL, objects=OBJECTS if mutates else None)


class Lazy(dict[str, Any]):
    """`variables`: each is computed when it is first asked for, and not again."""

    def __init__(self, programs: Mapping[str, Program], frame: Frame) -> None:
        super().__init__()
        self._programs = programs
        self._frame = frame

    def __contains__(self, key: object) -> bool:
        return key in self._programs

    def __missing__(self, key: str) -> Any:
        program = self._programs.get(key)
        if program is None:
            raise KeyError(key)
        value = environment.run(program, self._frame)
        self[key] = value
        return value


def frame_for(
    attributes: Attributes,
    request: Object,
    namespace: Object | None,
    decide: Decide,
    params: Object | None = None,
    programs: Mapping[str, Program] | None = None,
    budget: int = POLICY_BUDGET,
) -> Frame:
    """The values of one write. `request` holds the objects in the version that the policy speaks of."""
    asked = attributes.request
    values: dict[str, Any] = {
        "object": request.get("object"),
        "oldObject": request.get("oldObject"),
        "request": {key: value for key, value in request.items() if key not in ("object", "oldObject")},
        "namespaceObject": namespace,
        "authorizer": Asker(decide, asked.user, of_request(asked)),
        "params": params,
    }
    frame = Frame(values, budget)
    if programs:
        values["variables"] = Lazy(programs, frame)
    return frame


async def evaluated(make: Callable[[int], Frame], work: Callable[[Frame], Result]) -> Result:
    """What `work` makes of a frame with a budget. Work that is not done at once is begun again in a thread, so that
    nobody waits for it but who asked."""
    frame = make(QUICK_BUDGET)
    try:
        result = work(frame)
    except Exception:
        if frame.budget >= 0:
            raise
    else:
        if frame.budget >= 0:
            return result
    return await asyncio.to_thread(lambda: work(make(POLICY_BUDGET)))
