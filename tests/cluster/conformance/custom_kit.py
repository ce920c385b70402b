"""Custom resources of the conformance suite: definitions with names of their own, and when they are served."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conformance_kit import Space

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OPEN: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def version(name: str, schema: Mapping[str, Any], *, storage: bool = True, **more: Any) -> dict[str, Any]:
    return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema}, **more}


def definition(space: Space, plural: str, versions: Sequence[Mapping[str, Any]], **spec: Any) -> dict[str, Any]:
    """Of the group NAMESPACE.example.com, which no other test has."""
    group = spec.pop("group", f"{space.name}.example.com")
    kind = spec.pop("kind", plural.capitalize().removesuffix("s"))
    return {
        "metadata": {"name": f"{plural}.{group}", "labels": {"of": space.name}},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": list(versions),
            **spec,
        },
    }


class Custom:
    """A kind that is served."""

    def __init__(self, space: Space, made: Mapping[str, Any]) -> None:
        self.space, self.made = space, made
        spec = made["spec"]
        self.group, self.plural, self.kind = spec["group"], spec["names"]["plural"], spec["names"]["kind"]
        self.qualified = f"{self.plural}.{self.group}"  # kubectl may remember another group's by the plural alone
        self.definition = f"{DEFINITIONS}/{made['metadata']['name']}"

    def path(self, name: str = "", version: str = "v1") -> str:
        """As the methods of Space take it."""
        return f"{self.group}/{version}/{self.plural}" + (f"/{name}" if name else "")

    def object(self, name: str, version: str = "v1", **fields: Any) -> dict[str, Any]:
        metadata = {"name": name, **fields.pop("metadata", {})}
        return {"apiVersion": f"{self.group}/{version}", "kind": self.kind, "metadata": metadata, **fields}

    def changed(self, change: Any) -> dict[str, Any]:
        """The definition after a merge patch."""
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = self.space.cluster.control.request("PATCH", self.definition, change, headers)
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.object
        return found

    def is_whole(self) -> bool:
        """All its versions that are to be served are."""
        return all(self.is_served(one["name"]) for one in self.made["spec"]["versions"] if one["served"])

    def is_served(self, version: str) -> bool:
        return self.space.request("GET", self.path(version=version)).status == 200


@contextlib.contextmanager
def customs(space: Space, *definitions: Mapping[str, Any]) -> Iterator[list[Custom]]:
    """The kinds are served while this is entered."""
    control = space.cluster.control
    found = [Custom(space, each) for each in definitions]
    try:
        for each in definitions:
            answer = control.request("POST", DEFINITIONS, each)
            assert answer.status == 201, answer.body
        for custom in found:
            space.until(custom.is_whole, f"{custom.kind} is served in all its versions")
        yield found
    finally:
        for custom in found:
            control.request("DELETE", custom.definition)


@contextlib.contextmanager
def custom(space: Space, plural: str, *versions: Mapping[str, Any], **spec: Any) -> Iterator[Custom]:
    with customs(space, definition(space, plural, versions, **spec)) as (found,):
        yield found
