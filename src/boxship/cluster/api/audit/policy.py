"""Which requests the audit tells of, and how much: audit.k8s.io/v1 Policy (kubernetes.io, "Auditing"). The first rule
that matches counts; a request that none matches is not told of."""

import enum
from typing import Any

import msgspec

from boxship.cluster.api.request import Ask, User
from boxship.errors import Invalid

ALL = "*"
RECEIVED, STARTED, COMPLETE, PANIC = "RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"
STAGES = (RECEIVED, STARTED, COMPLETE, PANIC)


class Level(enum.IntEnum):
    """How much is told."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3

    @property
    def text(self) -> str:
        return LEVEL_TEXTS[self]


LEVEL_TEXTS = {
    Level.NONE: "None",
    Level.METADATA: "Metadata",
    Level.REQUEST: "Request",
    Level.REQUEST_RESPONSE: "RequestResponse",
}


class Decided(msgspec.Struct, frozen=True):
    """What is to be told of one request."""

    level: Level
    omitted: frozenset[str] = frozenset()  # stages
    omits_managed: bool = False


class Group(msgspec.Struct, frozen=True):
    """Resources of one group. Without `resources` all of it."""

    group: str
    resources: tuple[str, ...]
    names: tuple[str, ...]

    def matches(self, ask: Ask) -> bool:
        if self.group != ask.group:
            return False
        if not self.resources:
            return True
        if self.names and ask.name not in self.names:
            return False
        combined = f"{ask.resource}/{ask.subresource}" if ask.subresource else ask.resource
        return any(
            own in (ALL, combined)
            or own == f"{ask.resource}/*"
            or (ask.subresource != "" and own == f"*/{ask.subresource}")
            for own in self.resources
        )


class Rule(msgspec.Struct, frozen=True):
    decided: Decided
    users: tuple[str, ...]
    groups: tuple[str, ...]
    verbs: tuple[str, ...]
    namespaces: tuple[str, ...]
    resources: tuple[Group, ...]
    paths: tuple[str, ...]

    def matches(self, ask: Ask) -> bool:
        user = ask.user
        if self.users and user.name not in self.users:
            return False
        if self.groups and not set(self.groups) & set(user.groups):
            return False
        if self.verbs and ask.verb not in self.verbs:
            return False
        if ask.path:
            return self._is_path(ask.path)
        if self.namespaces and ask.namespace not in self.namespaces:
            return False
        if self.resources:
            return any(group.matches(ask) for group in self.resources)
        return not self.paths

    def _is_path(self, path: str) -> bool:
        if self.namespaces or self.resources:
            return False
        return not self.paths or any(
            own in (ALL, path) or (own.endswith(ALL) and path.startswith(own[:-1])) for own in self.paths
        )


class Policy:
    """The rules in their order."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules

    def decide(self, ask: Ask) -> Decided:
        return next((rule.decided for rule in self._rules if rule.matches(ask)), NOTHING)


NOTHING = Decided(Level.NONE)


def policy_of(document: Any) -> Policy:
    """The policy in a decoded file. Raises Invalid."""
    if not isinstance(document, dict) or document.get("kind") != "Policy":
        raise Invalid("cannot read the audit policy: its kind is not Policy")
    if document.get("apiVersion") != "audit.k8s.io/v1":
        raise Invalid("cannot read the audit policy: its apiVersion is not audit.k8s.io/v1")
    rules = document.get("rules")
    if not isinstance(rules, list) or not rules:
        raise Invalid("cannot read the audit policy: loaded illegal policy with 0 rules")
    omitted = _stages(document, "omitStages")
    managed = bool(document.get("omitManagedFields", False))
    return Policy(tuple(_rule(rule, f"rules[{index}]", omitted, managed) for index, rule in enumerate(rules)))


def user_seen(ask: Ask, user: User) -> Ask:
    """Rules look at who asked, not at whom he acts as."""
    return msgspec.structs.replace(ask, user=user)


def _rule(rule: Any, place: str, omitted: frozenset[str], managed: bool) -> Rule:
    if not isinstance(rule, dict):
        raise Invalid(f"cannot read the audit policy: {place} is no object")
    known = {
        "level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs", "omitStages",
        "omitManagedFields",
    }  # fmt: skip
    unknown = sorted(set(rule) - known)
    if unknown:
        raise Invalid(f'cannot read the audit policy: {place}: unknown field "{unknown[0]}"')
    level = next((level for level, text in LEVEL_TEXTS.items() if text == rule.get("level")), None)
    if level is None:
        raise Invalid(f"cannot read the audit policy: {place}.level: {rule.get('level')!r} is no level")
    paths, groups = _texts(rule, "nonResourceURLs", place), rule.get("resources") or []
    if paths and (groups or rule.get("namespaces")):
        raise Invalid(
            f"cannot read the audit policy: {place}.nonResourceURLs: "
            "rules cannot apply to both regular resources and non-resource URLs"
        )
    own = rule.get("omitManagedFields")
    return Rule(
        Decided(level, omitted | _stages(rule, "omitStages"), managed if own is None else bool(own)),
        _texts(rule, "users", place),
        _texts(rule, "userGroups", place),
        _texts(rule, "verbs", place),
        _texts(rule, "namespaces", place),
        tuple(_group(group, place) for group in groups),
        paths,
    )


def _group(group: Any, place: str) -> Group:
    if not isinstance(group, dict):
        raise Invalid(f"cannot read the audit policy: {place}.resources: no object")
    resources, names = _texts(group, "resources", place), _texts(group, "resourceNames", place)
    if names and not resources:
        raise Invalid(
            f"cannot read the audit policy: {place}.resources.resourceNames: "
            "using resourceNames requires at least one resource"
        )
    return Group(str(group.get("group", "")), resources, names)


def _texts(place: dict[str, Any], name: str, where: str) -> tuple[str, ...]:
    found = place.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise Invalid(f"cannot read the audit policy: {where}.{name}: not a list of texts")
    return tuple(found)


def _stages(place: dict[str, Any], name: str) -> frozenset[str]:
    found = _texts(place, name, "policy")
    wrong = [stage for stage in found if stage not in STAGES]
    if wrong:
        raise Invalid(f"cannot read the audit policy: {name}: {wrong[0]!r} is no stage")
    return frozenset(found)
