"""Rules of roles as values: what one allows, whether some cover another, and their short text.

The meaning of `*`, subresources and names is that of rbac.authorization.k8s.io/v1 (kubernetes.io, "Using RBAC
Authorization"); texts are the original's.
"""

import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

ALL = "*"


class Rule(msgspec.Struct, frozen=True):
    """One PolicyRule."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()  # nonResourceURLs

    def allows_verb(self, verb: str) -> bool:
        return ALL in self.verbs or verb in self.verbs

    def allows_resource(self, group: str, resource: str) -> bool:
        """`resource` is "pods" or "pods/log". Names are the caller's to look at."""
        if ALL not in self.groups and group not in self.groups:
            return False
        return any(_is_resource(own, resource) for own in self.resources)

    def allows_path(self, path: str) -> bool:
        return any(_is_path(own, path) for own in self.paths)

    def text(self) -> str:
        """As the original names a rule in messages."""
        parts = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.paths),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        return "{" + ", ".join(f"{name}:{quoted(values)}" for name, values in parts if values) + "}"

    def object(self) -> dict[str, Any]:
        """As it stands in a role."""
        parts = {
            "verbs": self.verbs,
            "apiGroups": self.groups,
            "resources": self.resources,
            "resourceNames": self.names,
            "nonResourceURLs": self.paths,
        }
        return {name: list(values) for name, values in parts.items() if values}


EVERYTHING = (Rule((ALL,), (ALL,), (ALL,)), Rule((ALL,), paths=(ALL,)))


def rules_of(role: dict[str, Any]) -> tuple[Rule, ...]:
    """The rules of a Role or ClusterRole."""
    return tuple(
        Rule(
            tuple(rule.get("verbs") or ()),
            tuple(rule.get("apiGroups") or ()),
            tuple(rule.get("resources") or ()),
            tuple(rule.get("resourceNames") or ()),
            tuple(rule.get("nonResourceURLs") or ()),
        )
        for rule in role.get("rules") or ()
    )


def missing(owned: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """What of `wanted` the `owned` rules do not allow, in the smallest parts."""
    return [part for rule in wanted for part in _parts(rule) if not any(_covers(own, part) for own in owned)]


def compacted(rules: Iterable[Rule]) -> list[Rule]:
    """The same, with the verbs for one resource joined."""
    joined: dict[tuple[object, ...], list[str]] = {}
    rest: list[Rule] = []
    for rule in rules:
        if len(rule.groups) == len(rule.resources) == 1 and len(rule.names) <= 1 and not rule.paths:
            verbs = joined.setdefault((rule.groups, rule.resources, rule.names), [])
            verbs += [verb for verb in rule.verbs if verb not in verbs]
        else:
            rest.append(rule)
    made = [msgspec.structs.replace(_rule(*key), verbs=tuple(verbs)) for key, verbs in joined.items()]
    return made + rest


def breadth(rules: Iterable[Rule]) -> int:
    """How much a role allows, to find the smallest that will do."""
    total = 0
    for rule in rules:
        size = 1
        for values in (rule.verbs, rule.groups or ("",), rule.resources or rule.paths):
            size *= sum(100 if ALL in value else 1 for value in values)
        total += size
    return total


def quoted(values: Iterable[str]) -> str:
    """As the original's language prints a list of strings."""
    return "[" + " ".join(json.dumps(value, ensure_ascii=False) for value in values) + "]"


def _rule(groups: Any, resources: Any, names: Any) -> Rule:
    return Rule((), groups, resources, names)


def _parts(rule: Rule) -> Iterable[Rule]:
    for verb, group, resource in itertools.product(rule.verbs, rule.groups, rule.resources):
        for name in rule.names or (None,):
            yield Rule((verb,), (group,), (resource,), (name,) if name is not None else ())
    for verb, path in itertools.product(rule.verbs, rule.paths):
        yield Rule((verb,), paths=(path,))


def _covers(own: Rule, part: Rule) -> bool:
    """Whether one rule allows all of another that names one thing of each sort."""
    if not own.allows_verb(part.verbs[0]):
        return False
    if part.paths:
        return own.allows_path(part.paths[0])
    if not own.allows_resource(part.groups[0], part.resources[0]):
        return False
    return not own.names or (bool(part.names) and part.names[0] in own.names)


def _is_resource(own: str, resource: str) -> bool:
    if own in (ALL, resource):
        return True
    return own.startswith("*/") and "/" in resource and resource.partition("/")[2] == own[2:]


def _is_path(own: str, path: str) -> bool:
    return own in (ALL, path) or (own.endswith(ALL) and path.startswith(own.rstrip(ALL)))
