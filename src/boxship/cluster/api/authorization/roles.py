"""All roles and bindings in memory, indexed by the users and groups that they are for.

What one user may do with one resource is worked out once and remembered until a role or binding changes. The memory is
told of objects; it reads nothing by itself.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from boxship.cluster.api.authorization.rules import Rule, breadth, rules_of
from boxship.cluster.api.request import Ask, User
from boxship.cluster.objects import Object

GROUP = "rbac.authorization.k8s.io"
REMEMBERED = 20_000  # answers
Place = tuple[str, str, str]  # kind, namespace, name
NO_NAMES: dict[str, str] = {}
OF_CONTROLLERS = "system:controller:"


class Subject(msgspec.Struct, frozen=True):
    """Whom a binding is for: a user (service accounts by their user name) or a group."""

    is_group: bool
    name: str
    shown: str  # as a reason names it: 'Group "developers"'


class Binding(msgspec.Struct, frozen=True):
    """A RoleBinding, or a ClusterRoleBinding with no namespace."""

    namespace: str
    name: str
    role: Place
    subjects: tuple[Subject, ...]

    def reason(self, subject: Subject) -> str:
        """Why this binding allows something, as the original says it in reviews and audits."""
        kind = "RoleBinding" if self.namespace else "ClusterRoleBinding"
        name = f"{self.name}/{self.namespace}" if self.namespace else self.name
        return f'RBAC: allowed by {kind} "{name}" of {self.role[0]} "{self.role[2]}" to {subject.shown}'


class Answer(msgspec.Struct):
    """What one user may do with one resource: why, or for which names why."""

    reason: str = ""
    names: dict[str, str] = NO_NAMES


class Roles:
    """Roles and bindings as they are known now."""

    def __init__(self) -> None:
        self._rules: dict[Place, tuple[Rule, ...]] = {}
        self._bindings: dict[Place, Binding] = {}
        self._for: dict[tuple[str, bool, str], set[Place]] = {}  # namespace, is a group, name → bindings
        self._answers: dict[tuple[object, ...], Answer] = {}
        self._grants: dict[tuple[object, ...], list[tuple[str, Rule]]] = {}

    def tell(self, kind: str, namespace: str, name: str, object: Object | None) -> None:
        """An object of the four kinds is so now; None: it is gone."""
        self._answers.clear()
        self._grants.clear()
        place = (kind, namespace, name)
        if kind in ("Role", "ClusterRole"):
            if object is None:
                self._rules.pop(place, None)
            else:
                self._rules[place] = rules_of(object)
            return
        old = self._bindings.pop(place, None)
        for subject in old.subjects if old else ():
            bound = self._for.get((namespace, subject.is_group, subject.name), set())
            bound.discard(place)
            if not bound:
                self._for.pop((namespace, subject.is_group, subject.name), None)
        if object is not None:
            self._bindings[place] = binding = binding_of(namespace, name, object)
            for subject in binding.subjects:
                self._for.setdefault((namespace, subject.is_group, subject.name), set()).add(place)

    def allows(self, ask: Ask) -> str:
        """Why the user may, or ""."""
        user = ask.user
        if ask.path:
            return self._path_reason(user, ask.verb, ask.path)
        resource = f"{ask.resource}/{ask.subresource}" if ask.subresource else ask.resource
        key = (user.name, user.groups, ask.namespace, ask.verb, ask.group, resource)
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answer(user, ask.namespace, ask.verb, ask.group, resource)
            self._remember(self._answers, key, answer)
        return answer.reason or answer.names.get(ask.name, "")

    def rules_for(self, user: User, namespace: str) -> list[tuple[str, Rule]]:
        """All rules that hold for a user in a namespace ("": in the cluster), each with its reason."""
        key = (user.name, user.groups, namespace)
        found = self._grants.get(key)
        if found is None:
            found = list(self._grants_of(user, namespace))
            self._remember(self._grants, key, found)
        return found

    def rules_of_role(self, place: Place) -> tuple[Rule, ...] | None:
        """None: there is no such role."""
        return self._rules.get(place)

    def roles_allowing(self, ask: Ask) -> list[Place]:
        """Roles that would allow what is asked, if they were bound: the smallest first. Those of controllers, which
        nobody else should be given, only where there is no other."""
        resource = f"{ask.resource}/{ask.subresource}" if ask.subresource else ask.resource
        found = []
        for place, rules in self._rules.items():
            if place[1] and place[1] != ask.namespace:
                continue
            if any(_allows(rule, ask, resource) for rule in rules):
                found.append((place[2].startswith("system:"), breadth(rules), place))
        places = [place for _, _, place in sorted(found)]
        return [place for place in places if not place[2].startswith(OF_CONTROLLERS)] or places

    def missing_role(self, user: User, namespace: str) -> list[str]:
        """What the bindings of a user name and does not exist, as messages tell it."""
        return [
            f'{"role" if binding.role[1] else "clusterrole"}.{GROUP} "{binding.role[2]}" not found'
            for binding, _ in self._bound(user, namespace)
            if binding.role not in self._rules
        ]

    def _answer(self, user: User, namespace: str, verb: str, group: str, resource: str) -> Answer:
        names: dict[str, str] = {}
        for reason, rule in self.rules_for(user, namespace):
            if rule.allows_verb(verb) and rule.allows_resource(group, resource):
                if not rule.names:
                    return Answer(reason)
                for name in rule.names:
                    names.setdefault(name, reason)
        return Answer(names=names) if names else Answer()

    def _path_reason(self, user: User, verb: str, path: str) -> str:
        for reason, rule in self.rules_for(user, ""):
            if rule.allows_verb(verb) and rule.allows_path(path):
                return reason
        return ""

    def _grants_of(self, user: User, namespace: str) -> Iterator[tuple[str, Rule]]:
        for binding, subject in self._bound(user, namespace):
            reason = binding.reason(subject)
            for rule in self._rules.get(binding.role, ()):
                yield reason, rule

    def _bound(self, user: User, namespace: str) -> Iterator[tuple[Binding, Subject]]:
        """The bindings for a user: those of the cluster first."""
        for scope in ("", namespace) if namespace else ("",):
            known = {(False, user.name)} | {(True, group) for group in user.groups}
            places = {place for sort, name in known for place in self._for.get((scope, sort, name), ())}
            for place in sorted(places):
                binding = self._bindings[place]
                yield binding, next(one for one in binding.subjects if (one.is_group, one.name) in known)

    @staticmethod
    def _remember(memory: dict[Any, Any], key: object, value: object) -> None:
        if len(memory) >= REMEMBERED:
            memory.clear()
        memory[key] = value


def binding_of(namespace: str, name: str, object: Object) -> Binding:
    """A stored binding as a value."""
    reference = object.get("roleRef") or {}
    kind = str(reference.get("kind", ""))
    role = (kind, namespace if kind == "Role" else "", str(reference.get("name", "")))
    return Binding(namespace, name, role, tuple(_subjects(object.get("subjects") or (), namespace)))


def _subjects(subjects: Iterable[dict[str, Any]], namespace: str) -> Iterator[Subject]:
    for subject in subjects:
        kind, name = subject.get("kind"), str(subject.get("name", ""))
        if kind == "User":
            yield Subject(False, name, f'User "{name}"')
        elif kind == "Group":
            yield Subject(True, name, f'Group "{name}"')
        elif kind == "ServiceAccount":
            place = str(subject.get("namespace") or namespace)
            yield Subject(False, f"system:serviceaccount:{place}:{name}", f'ServiceAccount "{name}/{place}"')


def _allows(rule: Rule, ask: Ask, resource: str) -> bool:
    if not rule.allows_verb(ask.verb):
        return False
    if ask.path:
        return rule.allows_path(ask.path)
    return rule.allows_resource(ask.group, resource) and (not rule.names or ask.name in rule.names)
