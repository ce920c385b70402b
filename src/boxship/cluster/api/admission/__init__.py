"""Admission: what looks at every write between the schema and the store. The order is the one list in `chain`.

A plugin may change the object in `admit`, and only look in `validate`, which comes after all `admit`s. Refusal is a
`Failure`. DELETE and CONNECT pass as well; an object that is deleted is in `old`.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from boxship.cluster.api.request import Request
from boxship.cluster.objects import Object


class Attributes(msgspec.Struct):
    """One write on its way. `object` and `old` are in the request's version. `operation` is CREATE, UPDATE, DELETE or
    CONNECT; `options` is the CreateOptions, UpdateOptions … object that a webhook is told."""

    request: Request
    operation: str
    name: str
    object: Object | None
    old: Object | None
    options: dict[str, Any] = {}
    dry_run: bool = False
    again: bool = False  # the second walk through those that change objects
    altered: bool = False  # a webhook or policy has changed the object, so that all look at it again
    memory: dict[str, Any] = {}  # what a plugin keeps between the walks, by its own name

    def warn(self, text: str) -> None:
        """Say it to the client."""
        if text not in self.request.warn:
            self.request.warn.append(text)


def fingerprint(attributes: Attributes) -> bytes:
    """What the object is now, to see later whether somebody changed it."""
    return msgspec.json.encode(attributes.object)


class Lookup(Protocol):
    """What is stored now, as plugins and authorisers look at it: decoded once per revision and shared, so nobody
    changes what is returned. A resource is named as in `access` ("v1/namespaces")."""

    async def get(self, resource: str, namespace: str, name: str) -> Object | None: ...

    async def list(self, resource: str, namespace: str = "") -> Sequence[Object]:
        """In all namespaces where none is given."""


class Plugin(Protocol):
    """One admission plugin, named as the original names it."""

    @property
    def name(self) -> str: ...

    async def admit(self, attributes: Attributes) -> None: ...

    async def validate(self, attributes: Attributes) -> None: ...
