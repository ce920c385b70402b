"""Which flow schema a request belongs to. Pure; the schemas are read once into values."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from boxship.cluster.api.request import Ask
from boxship.cluster.objects import Object

ALL = "*"
ACCOUNT = "system:serviceaccount:"


class ResourceRule(msgspec.Struct, frozen=True):
    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    namespaces: frozenset[str]
    cluster: bool

    def matches(self, ask: Ask, resource: str) -> bool:
        if not (_in(ask.verb, self.verbs) and _in(ask.group, self.groups) and _in(resource, self.resources)):
            return False
        return _in(ask.namespace, self.namespaces) if ask.namespace else self.cluster


class PathRule(msgspec.Struct, frozen=True):
    verbs: frozenset[str]
    paths: tuple[str, ...]

    def matches(self, ask: Ask) -> bool:
        return _in(ask.verb, self.verbs) and any(
            path in (ALL, ask.path) or (path.endswith(ALL) and ask.path.startswith(path[:-1])) for path in self.paths
        )


class Rule(msgspec.Struct, frozen=True):
    """`users` and `groups` are names; "system:serviceaccount:NAMESPACE:*" stands for all accounts of a namespace."""

    users: frozenset[str]
    groups: frozenset[str]
    resources: tuple[ResourceRule, ...]
    paths: tuple[PathRule, ...]

    def matches(self, ask: Ask) -> bool:
        if not self._is_for(ask):
            return False
        if ask.path:
            return any(rule.matches(ask) for rule in self.paths)
        resource = f"{ask.resource}/{ask.subresource}" if ask.subresource else ask.resource
        return any(rule.matches(ask, resource) for rule in self.resources)

    def _is_for(self, ask: Ask) -> bool:
        name = ask.user.name
        if _in(name, self.users) or ALL in self.groups or not self.groups.isdisjoint(ask.user.groups):
            return True
        return name.startswith(ACCOUNT) and f"{name.rpartition(':')[0]}:{ALL}" in self.users


class Schema(msgspec.Struct, frozen=True):
    """One FlowSchema. `flows` is ByUser, ByNamespace or "" (all its requests are one flow)."""

    name: str
    uid: str
    level: str
    precedence: int
    flows: str
    rules: tuple[Rule, ...]

    def flow_of(self, ask: Ask) -> str:
        if self.flows == "ByUser":
            return f"{self.name}/{ask.user.name}"
        return f"{self.name}/{ask.namespace}" if self.flows == "ByNamespace" else self.name


def schema_of(object: Object) -> Schema:
    """A stored FlowSchema as a value."""
    spec = object.get("spec") or {}
    return Schema(
        name=object["metadata"]["name"],
        uid=object["metadata"].get("uid", ""),
        level=(spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        precedence=int(spec.get("matchingPrecedence") or 1000),
        flows=(spec.get("distinguisherMethod") or {}).get("type", ""),
        rules=tuple(map(_rule, spec.get("rules") or ())),
    )


def find(schemas: Sequence[Schema], ask: Ask) -> Schema | None:
    """The first that matches; `schemas` are in their order."""
    return next((schema for schema in schemas if any(rule.matches(ask) for rule in schema.rules)), None)


def in_order(schemas: Iterable[Schema]) -> tuple[Schema, ...]:
    return tuple(sorted(schemas, key=lambda schema: (schema.precedence, schema.name)))


def _rule(rule: dict[str, Any]) -> Rule:
    users, groups = set(), set()
    for subject in rule.get("subjects") or ():
        kind = subject.get("kind")
        if kind == "User":
            users.add(subject["user"]["name"])
        elif kind == "Group":
            groups.add(subject["group"]["name"])
        elif kind == "ServiceAccount":
            account = subject["serviceAccount"]
            users.add(f"{ACCOUNT}{account['namespace']}:{account['name']}")
    return Rule(
        frozenset(users),
        frozenset(groups),
        tuple(
            ResourceRule(
                frozenset(part.get("verbs") or ()),
                frozenset(part.get("apiGroups") or ()),
                frozenset(part.get("resources") or ()),
                frozenset(part.get("namespaces") or ()),
                bool(part.get("clusterScope")),
            )
            for part in rule.get("resourceRules") or ()
        ),
        tuple(
            PathRule(frozenset(part.get("verbs") or ()), tuple(part.get("nonResourceURLs") or ()))
            for part in rule.get("nonResourceRules") or ()
        ),
    )


def _in(value: str, allowed: frozenset[str]) -> bool:
    return ALL in allowed or value in allowed
