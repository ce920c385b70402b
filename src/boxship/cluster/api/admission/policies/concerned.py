"""Which policies concern a write: with each the binding that puts it in force, and the parameters it is used with."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from boxship.cluster.api.admission import Attributes, Lookup
from boxship.cluster.api.admission.policies.compiled import Policy, Shelf
from boxship.cluster.api.admission.policies.conditions import namespace_of
from boxship.cluster.api.admission.webhooks.matching import (
    GROUP,
    SPARED,
    Others,
    find,
    needs_namespace,
    selects_namespace,
    selects_objects,
)
from boxship.cluster.objects import Object
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.selectors import of_object

KindOf = Callable[[str, str], Resource | None]  # (apiVersion, kind)


class Unfit(Exception):
    """A policy or binding that cannot be used as it is configured."""


class Use(msgspec.Struct, frozen=True):
    """One policy, to be evaluated once. `resource` is the version in which it wants the object; `problem`: why it
    cannot be evaluated."""

    policy: Policy
    binding: Object
    resource: Resource
    params: Object | None = None
    problem: str = ""

    @property
    def binding_name(self) -> str:
        return str(self.binding["metadata"]["name"])

    @property
    def mark(self) -> str:
        """What tells this use from others of the same write."""
        named = (self.params or {}).get("metadata") or {}
        return "/".join(
            (self.policy.name, self.binding_name, str(named.get("namespace") or ""), str(named.get("name") or ""))
        )


class Concerned:
    """Finds the uses of one kind of policy."""

    def __init__(self, lookup: Lookup, others: Others, kind_of: KindOf, word: str) -> None:
        """`word` is "validating" or "mutating"."""
        self._lookup = lookup
        self._others = others
        self._kind_of = kind_of
        self._policies = f"{GROUP}/v1/{word}admissionpolicies"
        self._bindings = f"{GROUP}/v1/{word}admissionpolicybindings"
        self._shelf = Shelf()

    async def find(self, attributes: Attributes) -> AsyncIterator[Use]:
        """In the order of the names of policies, then bindings. What cannot be used has its `problem`."""
        asked = attributes.request.resource
        if asked.group == GROUP and asked.plural in SPARED:
            return
        policies = await self._lookup.list(self._policies)
        self._shelf.keep_only({str(policy["metadata"]["name"]) for policy in policies})
        if not policies:
            return
        bindings = sorted(await self._lookup.list(self._bindings), key=lambda each: str(each["metadata"]["name"]))
        for object in sorted(policies, key=lambda each: str(each["metadata"]["name"])):
            name = object["metadata"]["name"]
            bound = [binding for binding in bindings if binding["spec"].get("policyName") == name]
            if not bound:
                continue
            match = await self._matches((object.get("spec") or {}).get("matchConstraints"), attributes, needed=True)
            if match is None:
                continue
            policy = self._shelf.policy(object)
            for binding in bound:
                inner = binding["spec"].get("matchResources")
                if inner is None or await self._matches(inner, attributes, needed=False) is not None:
                    async for use in self._uses(policy, binding, match, attributes):
                        yield use

    async def _matches(self, wanted: Object | None, attributes: Attributes, *, needed: bool) -> Resource | None:
        """The version in which the write fits matchConstraints (of a policy) or matchResources (of a binding, which
        need no rules)."""
        wanted = wanted or {}
        if not selects_objects(wanted.get("objectSelector"), attributes):
            return None
        selector = wanted.get("namespaceSelector")
        if needs_namespace(selector) and not selects_namespace(selector, await self._labels(attributes)):
            return None
        how = str(wanted.get("matchPolicy") or "Equivalent")
        if find(wanted.get("excludeResourceRules") or (), attributes, how, self._others) is not None:
            return None
        rules = wanted.get("resourceRules") or ()
        if not rules and not needed:
            return attributes.request.resource
        match = find(rules, attributes, how, self._others)
        return match.resource if match is not None else None

    async def _labels(self, attributes: Attributes) -> Any:
        if attributes.request.resource.path == "v1/namespaces":
            made = attributes.object or attributes.old or {}
            return (made.get("metadata") or {}).get("labels") or {}
        namespace = await namespace_of(attributes, self._lookup)
        if namespace is None:
            return {} if attributes.request.namespace else None
        return (namespace.get("metadata") or {}).get("labels") or {}

    async def _uses(
        self, policy: Policy, binding: Object, match: Resource, attributes: Attributes
    ) -> AsyncIterator[Use]:
        if policy.wrong:
            yield Use(policy, binding, match, problem=policy.wrong)
            return
        kind, where = policy.spec.get("paramKind"), binding["spec"].get("paramRef")
        if not kind or not where:
            yield Use(policy, binding, match)
            return
        try:
            for params in await self._params(kind, where, attributes):
                yield Use(policy, binding, match, params)
        except Unfit as unfit:
            yield Use(policy, binding, match, problem=str(unfit))

    async def _params(self, kind: Object, where: Object, attributes: Attributes) -> Sequence[Object]:
        """The parameters that a binding names. Raises Unfit where there are none and that is not allowed."""
        version, name = str(kind.get("apiVersion") or ""), str(kind.get("kind") or "")
        resource = self._kind_of(version, name)
        if resource is None:
            raise Unfit(
                f"failed to configure policy: failed to find resource referenced by paramKind: '{version}, Kind={name}'"
            )
        namespace = ""
        if resource.namespaced:
            namespace = str(where.get("namespace") or attributes.request.namespace)
            if not namespace:
                raise Unfit(
                    "failed to configure binding: cannot use namespaced paramRef in policy binding that matches "
                    "cluster-scoped resources"
                )
        elif where.get("namespace"):
            raise Unfit(
                "failed to configure binding: paramRef.namespace must not be provided for a cluster-scoped `paramKind`"
            )
        if where.get("name"):
            one = await self._lookup.get(resource.path, namespace, str(where["name"]))
            found: Sequence[Object] = [one] if one is not None else []
        else:
            selector = of_object(where.get("selector") or {})
            listed = await self._lookup.list(resource.path, namespace)
            found = [each for each in listed if selector.matches(each["metadata"].get("labels"))]
        if not found and where.get("parameterNotFoundAction", "Deny") != "Allow":
            raise Unfit(
                "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
            )
        return found
