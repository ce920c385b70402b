"""MutatingAdmissionPolicy: expressions that make changes to an object, by a configuration that is merged as an apply
would be, or by a JSON patch."""

from collections.abc import Callable
from typing import Any

from boxship.cluster.api.admission import Attributes, Lookup, fingerprint
from boxship.cluster.api.admission.policies import conditions
from boxship.cluster.api.admission.policies.authorizer import Decide
from boxship.cluster.api.admission.policies.compiled import Mutation
from boxship.cluster.api.admission.policies.concerned import Concerned, KindOf, Use
from boxship.cluster.api.admission.policies.requests import Requests
from boxship.cluster.api.admission.policies.variables import evaluated, frame_for
from boxship.cluster.api.admission.webhooks.matching import Others
from boxship.cluster.objects import Object
from boxship.cluster.objects.apply import extent, merging, shapes
from boxship.cluster.objects.cel import environment, values
from boxship.cluster.objects.cel.environment import Frame
from boxship.cluster.objects.cel.values import Failed
from boxship.cluster.objects.failure import Cause, Failure, forbidden
from boxship.cluster.objects.patch import json_patch
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.schema.types import Type

TypeOf = Callable[[Resource], Type | None]
Finish = Callable[[Object, Resource], Object]  # defaults again
UNCHANGED = ("name", "namespace", "uid", "generateName", "resourceVersion", "creationTimestamp")


class Unusable(Exception):
    """A mutation that cannot be carried out."""


class MutatingAdmissionPolicy:
    """Implements Plugin."""

    name = "MutatingAdmissionPolicy"

    def __init__(
        self,
        lookup: Lookup,
        others: Others,
        kind_of: KindOf,
        requests: Requests,
        decide: Decide,
        type_of: TypeOf,
        finish: Finish,
    ) -> None:
        self._lookup = lookup
        self._concerned = Concerned(lookup, others, kind_of, "mutating")
        self._requests = requests
        self._decide = decide
        self._type_of = type_of
        self._finish = finish

    async def admit(self, attributes: Attributes) -> None:
        if attributes.object is None:
            return
        seen: dict[str, bytes] = attributes.memory.setdefault(self.name, {})
        uses = [use async for use in self._concerned.find(attributes)]
        for use in uses:
            unchanged = attributes.again and seen.get(use.mark) == fingerprint(attributes)
            if unchanged or (attributes.again and use.mark in seen and not use.policy.reinvoked):
                continue
            try:
                await self._carry_out(use, attributes)
            except Unusable as wrong:
                if not use.policy.ignores:
                    raise _refusal(use, str(wrong), attributes) from None
            seen[use.mark] = fingerprint(attributes)

    async def validate(self, attributes: Attributes) -> None:
        return None

    async def _carry_out(self, use: Use, attributes: Attributes) -> None:
        policy = use.policy
        if use.problem:
            raise Unusable(use.problem)
        assert attributes.object is not None
        namespace = await conditions.namespace_of(attributes, self._lookup)
        for place, mutation in enumerate(policy.mutations):
            request = await self._requests.of(attributes, use.resource)
            before, type_ = request["object"], self._type_of(use.resource)

            def frame(budget: int, request: Object = request) -> Frame:
                return frame_for(attributes, request, namespace, self._decide, use.params, policy.variables, budget)

            def work(
                frame: Frame, first: bool = place == 0, mutation: Mutation = mutation, type_: Type | None = type_
            ) -> Object | None:
                if first and not _wanted(use, frame):
                    return None
                return _mutated(mutation, frame.variables["object"], frame, type_)

            made = await evaluated(frame, work)
            if made is None:
                return
            for key in UNCHANGED:
                if made.get("metadata", {}).get(key) != before.get("metadata", {}).get(key):
                    raise Unusable(f"metadata.{key} may not be changed")
            made = await self._requests.back(attributes, made, use.resource)
            made = self._finish(made, attributes.request.resource)
            attributes.altered |= made != attributes.object
            attributes.object = made


def _wanted(use: Use, frame: Frame) -> bool:
    try:
        return conditions.hold(use.policy.conditions, frame)
    except conditions.ConditionError as wrong:
        raise Unusable(str(wrong)) from None


def _mutated(mutation: Mutation, before: Object, frame: Frame, type_: Type | None) -> Object:
    try:
        given = environment.run(mutation.program, frame)
    except Failed as failed:
        raise Unusable(f"expression '{mutation.program.text}' resulted in error: {failed}") from None
    try:
        return _patched(given, before) if mutation.is_patch else _applied(given, before, type_)
    except Failure as failure:
        raise Unusable(str(failure)) from None


def _patched(given: Any, before: Object) -> Object:
    if not isinstance(given, list):
        raise Unusable("type mismatch: JSONPatchType.expression should have type 'list(JSONPatch)'")
    return json_patch(before, values.plain(given))


def _applied(given: Any, before: Object, type_: Type | None) -> Object:
    if not isinstance(given, dict):
        raise Unusable("type mismatch: ApplyConfiguration.expression should have type 'Object'")
    config = {**values.plain(given), "apiVersion": before.get("apiVersion"), "kind": before.get("kind")}
    config = {key: value for key, value in config.items() if value is not None}
    for wrong in extent.problems(config, type_):
        raise Unusable(f"invalid ApplyConfiguration: {wrong}")
    for path in atomics(config, type_):
        raise Unusable(
            f"error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {path}"
        )
    result: Object = merging.merged(before, config, type_)
    return result


def atomics(value: Any, type_: Type | None, path: str = "") -> list[str]:
    """Where a configuration would replace an atomic list, map or struct as a whole, which such a policy may not."""
    shape = shapes.shape_of(type_, value)
    if shape is shapes.LEAF:
        return [path] if isinstance(value, list | dict) and type_ is not None else []
    if shape is shapes.MAP:
        return [
            found
            for key, part in value.items()
            for found in atomics(part, shapes.child_type(type_, key), f"{path}.{key}")
        ]
    assert type_ is not None
    return [found for place, item in enumerate(value) for found in atomics(item, type_.items, f"{path}[{place}]")]


def _refusal(use: Use, why: str, attributes: Attributes) -> Failure:
    message = f"policy '{use.policy.name}' with binding '{use.binding_name}' denied request: {why}"
    found = forbidden(attributes.request.resource, attributes.name, message)
    found.reason, found.code = "Invalid", 422
    found.causes = (Cause("", "", message),)
    return found
