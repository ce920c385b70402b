"""The variable `authorizer` of expressions: may somebody do something?"""

from collections.abc import Callable
from typing import Any

import msgspec

from boxship.cluster.api.request import Ask, Decision, User
from boxship.cluster.objects.cel import functions, kinds
from boxship.cluster.objects.cel.functions import Library
from boxship.cluster.objects.cel.kinds import Kind

Decide = Callable[[Ask], Decision]

RESOURCE_CHECK = kinds.SHORT["resourcecheck"]
KIND = Kind(kinds.SHORT["authorizer"].name, schema={"requestResource": RESOURCE_CHECK})


class Check(msgspec.Struct, frozen=True):
    """A question that is being put together."""

    cel_type = RESOURCE_CHECK.name
    decide: Decide
    ask: Ask

    def asking(self, **parts: Any) -> "Check":
        return Check(self.decide, msgspec.structs.replace(self.ask, **parts))

    def check(self, verb: str) -> "Verdict":
        return Verdict(self.decide(msgspec.structs.replace(self.ask, verb=verb)))


class PathCheck(Check, frozen=True):
    cel_type = kinds.SHORT["pathcheck"].name


class GroupCheck(Check, frozen=True):
    cel_type = kinds.SHORT["groupcheck"].name


class Verdict(msgspec.Struct, frozen=True):
    cel_type = kinds.SHORT["decision"].name
    decision: Decision


class Asker(msgspec.Struct, frozen=True):
    """`own` is the question whether the request itself is allowed."""

    cel_type = kinds.SHORT["authorizer"].name
    decide: Decide
    user: User
    own: Ask

    def __getitem__(self, key: str) -> Check:
        if key != "requestResource":
            raise KeyError(key)
        return Check(self.decide, self.own)

    def service_account(self, namespace: str, name: str) -> "Asker":
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        user = User(f"system:serviceaccount:{namespace}:{name}", groups)
        return Asker(self.decide, user, msgspec.structs.replace(self.own, user=user))

    def path(self, path: str) -> PathCheck:
        if not path:
            raise ValueError("path must not be empty")
        return PathCheck(self.decide, Ask(self.user, "", path=path))

    def group(self, group: str) -> GroupCheck:
        return GroupCheck(self.decide, Ask(self.user, "", group=group, version="*"))


def _resource(check: GroupCheck, resource: str) -> Check:
    return Check(check.decide, msgspec.structs.replace(check.ask, resource=resource))


FUNCTIONS: list[tuple[str, Callable[..., Any]]] = [
    ("authorizer.path(string) -> pathcheck", Asker.path),
    ("authorizer.group(string) -> groupcheck", Asker.group),
    ("authorizer.serviceAccount(string,string) -> authorizer", Asker.service_account),
    ("groupcheck.resource(string) -> resourcecheck", _resource),
    ("resourcecheck.subresource(string) -> resourcecheck", lambda check, text: check.asking(subresource=text)),
    ("resourcecheck.namespace(string) -> resourcecheck", lambda check, text: check.asking(namespace=text)),
    ("resourcecheck.name(string) -> resourcecheck", lambda check, text: check.asking(name=text)),
    ("resourcecheck.fieldSelector(string) -> resourcecheck", lambda check, text: check.asking(field_selector=text)),
    ("resourcecheck.labelSelector(string) -> resourcecheck", lambda check, text: check.asking(label_selector=text)),
    ("resourcecheck.check(string) -> decision", Check.check),
    ("pathcheck.check(string) -> decision", Check.check),
    ("decision.allowed() -> bool", lambda verdict: verdict.decision.allowed),
    ("decision.reason() -> string", lambda verdict: verdict.decision.reason),
    ("decision.errored() -> bool", lambda verdict: False),
    ("decision.error() -> string", lambda verdict: ""),
]
LIBRARY: Library = functions.library(FUNCTIONS)
