"""One write on its way from a request to the store: what it is about, and the steps that every write takes, in order.

The order is the original's: schema, defaults, managed fields, admission, companions (addresses), preparation, metadata,
validation, the admission's last look. A Draft's objects are the caller's own copies and in the definition's working
version.
"""

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from boxship.cluster.api.admission import Attributes, Plugin
from boxship.cluster.api.catalog import Catalog, Definition, Read
from boxship.cluster.api.checks import check_kind, check_place, check_same_place, differ, drop_double_owners, name_in
from boxship.cluster.api.clock import Clock
from boxship.cluster.api.documents import read_object
from boxship.cluster.api.request import Request
from boxship.cluster.api.storage import key_of
from boxship.cluster.api.views import META_VERSION, Views
from boxship.cluster.objects import Object, validation
from boxship.cluster.objects.failure import Cause, bad_request, conflict, internal, invalid
from boxship.cluster.objects.kinds.checking import Enough
from boxship.cluster.objects.kinds.metadata import validate_metadata, validate_metadata_update
from boxship.cluster.objects.ratcheting import touched
from boxship.cluster.objects.schema.types import Type
from boxship.cluster.objects.times import stamp
from boxship.store import Entry, Operation

MANAGER_LIMIT = 128  # characters of a field manager's name
CERTIFICATE_REQUESTS = "certificatesigningrequests.certificates.k8s.io"
KEPT = ("creationTimestamp", "deletionTimestamp", "generation")
NOT_SETTABLE = ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation")


class Draft(msgspec.Struct):
    """`entry` is what is stored now, `old` the same as an object; None: a create. `name` is "" as long as it has to be
    generated."""

    request: Request
    definition: Definition
    name: str
    new: Object
    old: Object | None = None
    entry: Entry | None = None

    @property
    def key(self) -> str:
        return key_of(self.request.resource, self.request.namespace, self.name)


class Companion(Protocol):
    """Something else that is written with an object in the same commit: the addresses and ports of a Service."""

    async def allot(self, new: Object | None, old: Object | None) -> Sequence[Operation]:
        """What to write with the step from `old` to `new` (None: not there). Fills in `new`. Raises Failure."""


class Way(msgspec.Struct, frozen=True):
    """How a write to an existing object is prepared and checked: of the whole, or of a subresource."""

    prepare: Callable[[Object, Object], None]
    validate: Callable[[Object, Object], Sequence[Cause]]
    counts: bool = True  # whether the generation may grow


def whole(definition: Definition) -> Way:
    rules = definition.rules

    def validate(new: Object, old: Object) -> Sequence[Cause]:
        return (*touched(rules.validate, new, old), *rules.validate_update(new, old))

    return Way(rules.prepare_update, validate)


def status(definition: Definition) -> Way:
    rules = definition.rules
    return Way(rules.prepare_status, rules.validate_status, counts=False)


def manager_of(request: Request) -> str:
    """Who is said to have set the fields."""
    manager = request.options.field_manager
    if not manager:
        manager = request.agent.split("/", 1)[0]
    return manager[:MANAGER_LIMIT] or "unknown"


class Steps:
    """The steps themselves; each writer calls them in the order of its verb."""

    def __init__(self, catalog: Catalog, views: Views, clock: Clock, chain: "Chain") -> None:
        self._catalog = catalog
        self._views = views
        self._clock = clock
        self._chain = chain

    def now(self) -> datetime:
        return self._clock.now()

    async def read(
        self,
        request: Request,
        definition: Definition,
        value: Object,
        twice: Sequence[str] = (),
        *,
        defaults: bool = True,
    ) -> Object:
        """A sent (or patched) object, checked against the schema, in the working version, with defaults."""
        resource = request.resource
        check_kind(value, request)
        object = self.checked(
            request, value, definition.request_type, twice, resource.group, resource.kind, definition.read
        )
        object["kind"], object["apiVersion"] = resource.kind, resource.api_version
        check_place(object.setdefault("metadata", {}), request)
        drop_double_owners(object["metadata"], request)
        object = await self._views.versioned(definition, object, definition.working)
        if defaults:
            self.finish(definition, object)
        return object

    def finish(self, definition: Definition, object: Object) -> None:
        """Put in the defaults, and what the original's answers always have."""
        definition.rules.default(object)
        if not definition.resource.custom:
            validation.complete(object, definition.type)

    def checked(
        self,
        request: Request,
        value: Object,
        type_: Type,
        twice: Sequence[str],
        group: str,
        kind: str,
        read: Read = validation.read,
    ) -> Object:
        """A value that a client sent, as its schema has it. Raises Failure; warns of what is dropped."""
        object, warnings, causes = read(value, type_, request.options.field_validation, twice)
        if causes:
            raise invalid(group, kind, name_in(value), causes)
        request.warn.extend(text for text in warnings if text not in request.warn)
        return object

    def posted(
        self, request: Request, group: str, version: str, kind: str, older: Sequence[str] = ()
    ) -> tuple[Object, Attributes]:
        """What is posted and not stored (a review, a Binding, an Eviction), checked by its schema; and how it goes
        through admission. `older` are apiVersions of the same fields. Raises Failure."""
        assert request.body is not None
        value, twice = read_object(request.body, self._catalog.schemas, (group, version, kind))
        expected = f"{group}/{version}" if group else version
        if value.get("apiVersion") in older:
            value["apiVersion"] = expected
        if (value.get("apiVersion") or expected, value.get("kind") or kind) != (expected, kind):
            raise bad_request(f"the object provided is unrecognized (must be of type {kind})")
        type_ = self._catalog.schemas.type_of(group, version, kind)
        object = self.checked(request, value, type_, twice, group, kind)
        object.update(kind=kind, apiVersion=expected)
        metadata = object.setdefault("metadata", {})
        if request.namespace and metadata.setdefault("namespace", request.namespace) != request.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        dry_run = request.options.dry_run
        return object, Attributes(request, "CREATE", request.name, object, None, dry_run=dry_run)

    async def admit(self, draft: Draft) -> None:
        definition = draft.definition
        attributes = await self._attributes(draft)
        given = attributes.object
        await self._chain.admit(attributes)
        if attributes.object is None:
            raise internal("admission took the object away")
        replaced = attributes.object is not given
        if replaced:  # by somebody outside, who may know the schema less well
            check_same_place(attributes.object, given)
            read: Read = definition.read
            attributes.object, _, _ = read(attributes.object, definition.request_type, validation.IGNORE, ())
        draft.new = await self._views.versioned(definition, attributes.object, definition.working)
        if replaced:
            self.finish(definition, draft.new)

    async def validate_admission(self, draft: Draft) -> None:
        await self._chain.validate(await self._attributes(draft))

    async def admit_deletion(self, draft: Draft) -> None:
        """`draft.old` is the object that goes."""
        attributes = await self._attributes(draft)
        attributes.object = None
        await self._chain.admit(attributes)
        await self._chain.validate(attributes)

    def prepare_create(self, draft: Draft) -> None:
        """Fill in what only the server says."""
        metadata = draft.new["metadata"]
        for field in NOT_SETTABLE:
            metadata.pop(field, None)
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = now = stamp(self._clock.now())
        if draft.definition.rules.generation:
            metadata["generation"] = 1
        if draft.name:
            metadata["name"] = draft.name
        draft.definition.rules.prepare_create(draft.new)  # a Job's selector is made of its uid and name
        draft.definition.rules.times(draft.new, None, now)
        if draft.definition.resource.qualified == CERTIFICATE_REQUESTS:
            _name_requester(draft)
        if not draft.definition.resource.custom:
            validation.complete(draft.new, draft.definition.type)

    def validate_create(self, draft: Draft) -> None:
        definition = draft.definition
        resource = definition.resource
        rules = definition.rules
        try:
            causes: Sequence[Cause] = [
                *validate_metadata(
                    draft.new, namespaced=resource.namespaced, validate_name=rules.validate_name, custom=resource.custom
                ),
                *rules.validate(draft.new),
                *rules.validate_create(draft.new),
            ]
        except Enough as enough:
            causes = enough.causes
        self._refuse(draft, causes)

    def prepare_update(self, draft: Draft, way: Way) -> None:
        """Put back what a client cannot change."""
        new, old = draft.new, draft.old
        assert old is not None
        before, metadata = old["metadata"], new["metadata"]
        metadata.pop("selfLink", None)
        for field in KEPT:
            if field in before:
                metadata[field] = before[field]
            elif field == "generation":
                metadata.pop(field, None)
        metadata.setdefault("uid", before["uid"])
        if "deletionGracePeriodSeconds" in before:
            metadata.setdefault("deletionGracePeriodSeconds", before["deletionGracePeriodSeconds"])
        way.prepare(new, old)
        draft.definition.rules.times(new, old, stamp(self._clock.now()))
        if not draft.definition.resource.custom:
            validation.complete(new, draft.definition.type)
        new["metadata"]["resourceVersion"] = before["resourceVersion"]
        if draft.definition.rules.generation and way.counts and differ(new, old):
            new["metadata"]["generation"] = before.get("generation", 0) + 1

    def validate_update(self, draft: Draft, way: Way) -> None:
        assert draft.old is not None
        try:
            causes: Sequence[Cause] = [
                *validate_metadata_update(draft.new, draft.old, custom=draft.definition.resource.custom),
                *way.validate(draft.new, draft.old),
            ]
        except Enough as enough:
            causes = enough.causes
        self._refuse(draft, causes)

    def warn(self, draft: Draft) -> None:
        warned = draft.request.warn
        if draft.old is not None and not draft.definition.rules.warns_on_update:
            return
        warned += [text for text in draft.definition.rules.warnings(draft.new) if text not in warned]

    def _refuse(self, draft: Draft, causes: Sequence[Cause]) -> None:
        if causes:
            resource = draft.definition.resource
            raise invalid(resource.group, resource.kind, draft.new["metadata"].get("name", ""), causes)

    async def _attributes(self, draft: Draft) -> Attributes:
        request = draft.request
        version = request.resource.api_version
        old = draft.old and await self._views.versioned(draft.definition, draft.old, version)
        operation = "DELETE" if request.verb in ("delete", "deletecollection") else "UPDATE" if old else "CREATE"
        return Attributes(
            request=request,
            operation=operation,
            name=draft.name,
            object=await self._views.versioned(draft.definition, draft.new, version),
            old=old,
            options=_options(request, operation),
            dry_run=request.options.dry_run,
        )


class Chain(Protocol):
    """The admission plugins in their order."""

    async def admit(self, attributes: Attributes) -> None: ...

    async def validate(self, attributes: Attributes) -> None: ...


class PlainChain:
    """A Chain of plugins, each called once."""

    def __init__(self, plugins: Sequence[Plugin] = ()) -> None:
        self._plugins = tuple(plugins)

    async def admit(self, attributes: Attributes) -> None:
        for plugin in self._plugins:
            await plugin.admit(attributes)

    async def validate(self, attributes: Attributes) -> None:
        for plugin in self._plugins:
            await plugin.validate(attributes)


def check_version(draft: Draft) -> None:
    """What an update says of the version and identity that it changes. Raises Failure 409 or 422."""
    new, old, resource = draft.new["metadata"], draft.old, draft.request.resource
    assert old is not None
    before = old["metadata"]
    uid = new.get("uid")
    if uid and uid != before["uid"]:
        why = (
            f"StorageError: invalid object, Code: 4, Key: {draft.key}, ResourceVersion: 0, AdditionalErrorMsg: "
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before['uid']}"
        )
        raise conflict(resource, draft.name, why)
    version = new.get("resourceVersion")
    if version and version != before["resourceVersion"]:
        if not version.isdigit():
            message = f'Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax'
            cause = Cause("FieldValueInvalid", "metadata.resourceVersion", message)
            raise invalid(resource.group, resource.kind, draft.name, [cause])
        raise conflict(resource, draft.name)
    if not version and draft.definition.rules.needs_version:
        cause = Cause(
            "FieldValueInvalid", "metadata.resourceVersion", "Invalid value: 0: must be specified for an update"
        )
        raise invalid(resource.group, resource.kind, draft.name, [cause])


def _name_requester(draft: Draft) -> None:
    """A certificate request says who made it, whatever it says itself."""
    user = draft.request.user
    extra = {key: list(values) for key, values in user.extra.items()}
    said = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": extra}
    spec = draft.new.setdefault("spec", {})
    for field, value in said.items():
        spec.pop(field, None)
        if value:
            spec[field] = value


def _options(request: Request, operation: str) -> dict[str, Any]:
    """The options object that a webhook is told."""
    options = request.options
    kind = {"CREATE": "CreateOptions", "DELETE": "DeleteOptions"}.get(operation, "UpdateOptions")
    if request.verb == "patch":
        kind = "PatchOptions"
    made: dict[str, Any] = {"kind": kind, "apiVersion": META_VERSION}
    if options.dry_run:
        made["dryRun"] = ["All"]
    if operation == "DELETE":
        if options.grace is not None:
            made["gracePeriodSeconds"] = options.grace
        if options.propagation:
            made["propagationPolicy"] = options.propagation
        return made
    if options.field_manager:
        made["fieldManager"] = options.field_manager
    made["fieldValidation"] = options.field_validation
    return made
