"""A container's variables, from everywhere. Reads config maps and secrets; everything else is pure.

Source: kubernetes.io, "Define Environment Variables for a Container", "Configure a Pod to Use a ConfigMap", "Secrets",
"Define Environment Variable Values Using An Init Container". The messages are the original's.
"""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from boxship.cluster.node.plan import fields
from boxship.cluster.node.plan.expanding import expand
from boxship.cluster.node.plan.facts import NodeFacts
from boxship.cluster.node.planning import NotPossible
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure

CONFIG_MAPS, SECRETS = "v1/configmaps", "v1/secrets"
NOT_NOW = "CreateContainerConfigError"


class Gets(Protocol):
    """Where config maps and secrets are read: one object by its name. Raises Failure."""

    async def get(self, resource: str, namespace: str, name: str) -> Object: ...


class Reading:
    """Of one container at one start: the variables are read one after another, later ones may use earlier ones.
    `read_file` gives the text of a file in one of the pod's volumes, None where there is none."""

    def __init__(
        self,
        gets: Gets,
        pod: Object,
        container: Object,
        *,
        facts: NodeFacts,
        addresses: Sequence[str],
        services: Mapping[str, str],
        read_file: Callable[[str, str], Awaitable[str | None]],
    ) -> None:
        self._gets = gets
        self._pod = pod
        self._container = container
        self._facts = facts
        self._addresses = addresses
        self._services = services
        self._read_file = read_file
        self._known: dict[str, str] = {}
        self._objects: dict[tuple[str, str], Object] = {}

    async def variables(self) -> dict[str, str]:
        """All of them. Raises NotPossible."""
        for source in self._container.get("envFrom") or ():
            await self._all_of(source)
        for variable in self._container.get("env") or ():
            value = variable.get("value") or ""
            if value:
                self._known[variable["name"]] = expand(value, self._known, self._services)
                continue
            found = await self._value(variable.get("valueFrom") or {}) if variable.get("valueFrom") else ""
            if found is not None:
                self._known[variable["name"]] = found
        return {**{name: text for name, text in self._services.items() if name not in self._known}, **self._known}

    async def _all_of(self, source: Mapping[str, Any]) -> None:
        prefix = source.get("prefix") or ""
        for key, resource in (("configMapRef", CONFIG_MAPS), ("secretRef", SECRETS)):
            reference = source.get(key)
            if reference is None:
                continue
            object = await self._object(resource, reference)
            if object is None:
                continue
            for name, text in (object.get("data") or {}).items():
                self._known[prefix + name] = _decoded(text) if resource == SECRETS else text

    async def _value(self, source: Mapping[str, Any]) -> str | None:
        """None: it is not set at all."""
        for key, resource in (("configMapKeyRef", CONFIG_MAPS), ("secretKeyRef", SECRETS)):
            if source.get(key) is not None:
                return await self._key(resource, source[key])
        if source.get("fileKeyRef") is not None:
            return await self._file_key(source["fileKeyRef"])
        try:
            if source.get("fieldRef") is not None:
                path = str(source["fieldRef"].get("fieldPath"))
                return fields.field_text(self._pod, path, facts=self._facts, addresses=self._addresses)
            reference = source.get("resourceFieldRef") or {}
            return fields.amount_text(self._pod, reference, facts=self._facts, container=self._container["name"])
        except (fields.UnknownField, KeyError) as error:
            raise NotPossible(NOT_NOW, f"unsupported fieldPath: {error}") from error

    async def _key(self, resource: str, reference: Mapping[str, Any]) -> str | None:
        object = await self._object(resource, reference)
        if object is None:
            return None
        key = str(reference.get("key"))
        data = object.get("data") or {}
        if key in data:
            return _decoded(data[key]) if resource == SECRETS else str(data[key])
        if reference.get("optional"):
            return None
        kind = "Secret" if resource == SECRETS else "ConfigMap"
        place = f"{self._pod['metadata']['namespace']}/{reference.get('name')}"
        raise NotPossible(NOT_NOW, f"couldn't find key {key} in {kind} {place}")

    async def _object(self, resource: str, reference: Mapping[str, Any]) -> Object | None:
        """None: it is not there and need not be."""
        name = str(reference.get("name") or "")
        place = (resource, name)
        if place not in self._objects:
            try:
                self._objects[place] = await self._gets.get(resource, self._pod["metadata"]["namespace"], name)
            except Failure as failure:
                if failure.reason == "NotFound" and reference.get("optional"):
                    return None
                raise NotPossible(NOT_NOW, unreadable(resource, name, failure)) from failure
        return self._objects[place]

    async def _file_key(self, reference: Mapping[str, Any]) -> str | None:
        volume, path, key = (str(reference.get(word)) for word in ("volumeName", "path", "key"))
        text = await self._read_file(volume, path)
        # A container may have written as many lines as the file may have: that takes long.
        found = await asyncio.to_thread(value_in_file, text, key) if text is not None else None
        if found is not None:
            return found
        if reference.get("optional"):
            return None
        raise NotPossible(NOT_NOW, f'environment variable key "{key}" not found in file "{path}" of volume "{volume}"')


def unreadable(resource: str, name: str, failure: Failure) -> str:
    """Why an object cannot be read, in the original's words."""
    if failure.reason == "NotFound":
        return f'{resource.rpartition("/")[2].removesuffix("s")} "{name}" not found'
    return str(failure)


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text).decode(errors="replace")
    except binascii.Error:
        return ""


def value_in_file(text: str, key: str) -> str | None:
    """The value of a name in a file of variables, None where it is not there: lines NAME='value' with nothing behind
    them but a comment; a value may span lines. Empty lines and those that begin with # are nothing, and a blank behind
    the sign is an empty value, as a shell has it. What stands behind the name that is looked for is not read. Raises
    NotPossible."""
    lines = ((number, line.removesuffix("\r")) for number, line in enumerate(text.split("\n"), 1))
    for number, line in lines:
        line = line.lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        name, sign, rest = line.partition("=")
        if not sign:
            raise _wrong(number, "missing '='")
        if not name:
            raise _wrong(number, "empty variable name")
        if any(blank in name for blank in " \t"):
            raise _wrong(number, "whitespace before '=' is not allowed")
        if rest != rest.lstrip(" \t"):
            value = ""
        elif not rest.startswith("'"):
            raise _wrong(number, "value must be enclosed in single quotes")
        else:
            value, quote, behind = rest[1:].partition("'")
            spanned = [value]
            while not quote:
                following = next(lines, None)
                if following is None:
                    raise _wrong(number, "unclosed single quote")
                more, quote, behind = following[1].partition("'")
                spanned.append(more)
            value = "\n".join(spanned)
            if behind.lstrip(" \t") and not behind.lstrip(" \t").startswith("#"):
                raise _wrong(number, "unexpected content after closing quote")
        if name == key:
            return value
    return None


def _wrong(number: int, why: str) -> NotPossible:
    return NotPossible(NOT_NOW, f"invalid environment variable format at line {number}: {why}")
