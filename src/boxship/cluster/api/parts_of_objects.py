"""The subresources that are a part of the object they belong to: status, approval, finalize, ephemeralcontainers,
resize and scale. Each write to one is a write to the object that may change that part alone.
"""

from collections.abc import Mapping, Sequence

from boxship.cluster.api import documents, patching
from boxship.cluster.api.catalog import Catalog, Definition
from boxship.cluster.api.drafts import CERTIFICATE_REQUESTS, Steps, Way, status, whole
from boxship.cluster.api.reading import Reading
from boxship.cluster.api.request import Answer, Request
from boxship.cluster.api.storage import decode
from boxship.cluster.api.views import Views, to_json
from boxship.cluster.api.writing import Build, Writing
from boxship.cluster.objects import Object
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import bad_request, invalid, no_such_path
from boxship.cluster.objects.kinds.certificates import validate_approval
from boxship.cluster.objects.kinds.core_pod_updates import SUBRESOURCES as OF_PODS
from boxship.cluster.objects.media_types import APPLY_PATCH
from boxship.cluster.objects.rules import accept_both
from boxship.cluster.objects.scale import BUILT_IN, apply_scale, scale_causes, scale_of
from boxship.cluster.objects.tables import table_of
from boxship.cluster.objects.times import stamp
from boxship.store import Entry

SCALE_VERSION = "autoscaling/v1"


class ObjectParts:
    """Answers get, update and patch of these subresources."""

    def __init__(self, catalog: Catalog, views: Views, reading: Reading, steps: Steps, writing: Writing) -> None:
        self._catalog = catalog
        self._views = views
        self._reading = reading
        self._steps = steps
        self._writing = writing

    async def get(self, request: Request) -> Answer:
        definition = self._catalog.definition(request.resource)
        entry = await self._reading.entry(request)
        if request.subresource == "scale":
            return self._scale_answer(definition, request, await self._working(definition, entry))
        return await self._reading.answer(definition, request, entry)

    async def update(self, request: Request) -> Answer:
        definition = self._catalog.definition(request.resource)
        if request.subresource != "scale":
            return await self._writing.update(request, way_of(definition, request.subresource, self._steps))
        assert request.body is not None
        expected = ("autoscaling", "v1", "Scale")
        value, twice = documents.read_object(request.body, self._catalog.schemas, expected)
        scale = self._read_scale(request, value, twice)
        _check_name(request, scale)

        async def build(old: Object | None) -> Object:
            assert old is not None
            return _scaled(old, scale, definition)

        return await self._scale(request, definition, build)

    async def patch(self, request: Request) -> Answer:
        definition = self._catalog.definition(request.resource)
        if request.subresource != "scale":
            return await self._writing.patch(request, way_of(definition, request.subresource, self._steps))
        assert request.body is not None
        if request.body.media_type == APPLY_PATCH:
            return await self._apply_scale(request, definition)
        patch, twice = patching.read(request, self._catalog.schemas.type_of("autoscaling", "v1", "Scale"))

        async def build(old: Object | None) -> Object:
            assert old is not None
            scale = patch.on(scale_of(old, definition.scale or BUILT_IN))
            return _scaled(old, self._read_scale(request, scale, twice), definition)

        return await self._scale(request, definition, build)

    async def _apply_scale(self, request: Request, definition: Definition) -> Answer:
        """To apply a Scale is to apply the object with nothing but the number of replicas."""
        value, twice = patching.read_applied(request)
        scale = self._read_scale(request, value, twice)
        _check_name(request, scale)
        resource = definition.resource
        metadata: Object = {"name": request.name}
        if resource.namespaced:
            metadata["namespace"] = request.namespace
        empty = {"apiVersion": definition.working, "kind": resource.kind, "metadata": metadata}
        applied = apply_scale(empty, scale, definition.scale or BUILT_IN)
        entry = await self._writing.apply_object(request, definition, applied, whole(definition))
        return self._scale_answer(definition, request, await self._working(definition, entry))

    async def _scale(self, request: Request, definition: Definition, build: Build) -> Answer:
        entry, _ = await self._writing.change(request, definition, build, whole(definition))
        return self._scale_answer(definition, request, await self._working(definition, entry))

    def _read_scale(self, request: Request, value: Object, twice: Sequence[str]) -> Object:
        """A Scale that was sent or patched, checked."""
        version, kind = value.get("apiVersion") or SCALE_VERSION, value.get("kind") or "Scale"
        if (version, kind) != (SCALE_VERSION, "Scale"):
            raise bad_request(f"the object provided is unrecognized (must be of type Scale): {version} {kind}")
        type_ = self._catalog.schemas.type_of("autoscaling", "v1", "Scale")
        scale = self._steps.checked(request, value, type_, twice, "autoscaling", "Scale")
        causes = scale_causes(scale)
        if causes:
            raise invalid("autoscaling", "Scale", request.name, causes)
        return scale

    def _scale_answer(self, definition: Definition, request: Request, object: Object) -> Answer:
        scale = scale_of(object, definition.scale or BUILT_IN)
        if request.view.form != "table":
            return Answer(200, to_json(scale))
        columns, rows = table_of(definition.resource, [scale], self._steps.now().timestamp(), kind="Scale")
        metadata = to_json({"resourceVersion": object["metadata"]["resourceVersion"]})
        return Answer(200, self._views.table(to_json(columns), [to_json(row) for row in rows], metadata))

    async def _working(self, definition: Definition, entry: Entry) -> Object:
        return await self._views.versioned(definition, decode(entry.value, entry.modified), definition.working)


def way_of(definition: Definition, subresource: str, steps: Steps) -> Way:
    """How a write to this subresource is prepared and checked."""
    resource = definition.resource
    rules = definition.rules
    if subresource == "status":
        if resource.qualified == CERTIFICATE_REQUESTS:
            return Way(lambda new, old: _take_status(new, old, steps), rules.validate_status, counts=False)
        return status(definition)
    if subresource == "approval":
        return Way(lambda new, old: _take_decision(new, old, steps), validate_approval, counts=False)
    if subresource == "finalize":
        return Way(_take_finalizers, accept_both, counts=False)
    own = OF_PODS.get(subresource) if resource.qualified == "pods" else None
    if own is None:
        raise no_such_path()
    checks = own.validate
    return Way(own.prepare, lambda new, old: (*rules.validate(new), *checks(new, old)))


def _scaled(old: Object, scale: Object, definition: Definition) -> Object:
    new = apply_scale(old, scale, definition.scale or BUILT_IN)
    if not scale.get("metadata", {}).get("resourceVersion"):
        new["metadata"].pop("resourceVersion", None)
    uid = scale.get("metadata", {}).get("uid")
    if uid:
        new["metadata"]["uid"] = uid
    return new


def _check_name(request: Request, scale: Object) -> None:
    name = scale.get("metadata", {}).get("name")
    if name and name != request.name:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({request.name})")


def _take_finalizers(new: Object, old: Object) -> None:
    """Of a write to a namespace's `finalize` its finalizers are taken."""
    finalizers = new.get("spec", {}).get("finalizers")
    new["spec"] = {**old.get("spec", {})}
    new["spec"].pop("finalizers", None)
    if finalizers:
        new["spec"]["finalizers"] = finalizers
    new.pop("status", None)
    if "status" in old:
        new["status"] = copied(old["status"])


def _conditions(object: Object) -> list[Object]:
    return list(object.get("status", {}).get("conditions") or ())


def _take_decision(new: Object, old: Object, steps: Steps) -> None:
    """Of a write to `approval` the conditions are taken."""
    conditions = _conditions(new)
    metadata = new["metadata"]
    new.clear()
    new.update(copied({key: value for key, value in old.items() if key != "metadata"}))
    new["metadata"] = metadata
    new.setdefault("status", {}).pop("conditions", None)
    if conditions:
        new["status"]["conditions"] = _timed(conditions, old, steps)


def _take_status(new: Object, old: Object, steps: Steps) -> None:
    """A write to a certificate request's `status`; that it decides nothing is checked by its rules."""
    metadata, status_ = new["metadata"], new.get("status") or {}
    new.clear()
    new.update(copied({key: value for key, value in old.items() if key not in ("metadata", "status")}))
    new["metadata"] = metadata
    new["status"] = status_
    if _conditions(new):
        status_["conditions"] = _timed(_conditions(new), old, steps)
    if not status_:
        del new["status"]


def _timed(conditions: Sequence[Object], old: Object, steps: Steps) -> list[Object]:
    """The conditions with the times that the server fills in."""
    now = stamp(steps.now())
    before: Mapping[str, Object] = {each.get("type", ""): each for each in _conditions(old)}
    timed = []
    for condition in conditions:
        known = before.get(condition.get("type", ""), {})
        changed = known.get("status") != condition.get("status")
        made = dict(condition)
        made.setdefault("lastUpdateTime", now)
        since = now if changed else known.get("lastTransitionTime", now)
        made.setdefault("lastTransitionTime", since)
        timed.append(made)
    return timed
