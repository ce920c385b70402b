"""A container's variables, from everywhere. Reads config maps and secrets; everything else is pure.

Source: kubernetes.io, "Define Environment Variables for a Container", "Configure a Pod to Use a ConfigMap", "Secrets",
"Define Environment Variable Values Using An Init Container". The messages are the original's.
"""

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
        if text is not None:
            table = parse_file(text)
            if key in table:
                return table[key]
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


def parse_file(text: str) -> dict[str, str]:
    """A file of variables: lines KEY='value'; a value may span lines. Blank lines and those that begin with # are
    nothing. Raises NotPossible for any other."""
    table: dict[str, str] = {}
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        line = text[position : end if end >= 0 else len(text)]
        after = end + 1 if end >= 0 else len(text)
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            position = after
            continue
        name, equals, rest = line.partition("=")
        if not equals or not name.strip() or not rest.startswith("'"):
            raise NotPossible(NOT_NOW, f"invalid environment variable format: {stripped!r}")
        start = position + len(name) + 2
        close = text.find("'", start)
        if close < 0:
            raise NotPossible(NOT_NOW, f"unclosed single quote for variable {name.strip()!r}")
        table[name.strip()] = text[start:close]
        end = text.find("\n", close)
        position = end + 1 if end >= 0 else len(text)
    return table
