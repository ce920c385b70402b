"""One volume of a pod: what it needs of the API, and which files or which folder it becomes.

Source: kubernetes.io, "Volumes", "Projected Volumes", "Ephemeral Volumes".
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.node.plan.environment import CONFIG_MAPS, SECRETS, unreadable
from boxship.cluster.node.plan.facts import NodeFacts
from boxship.cluster.node.volumes import payloads
from boxship.cluster.node.volumes.holding import HeldObjects, Place
from boxship.cluster.node.volumes.payloads import MODE, Files, MissingKey, refused
from boxship.cluster.node.volumes.tokens import Tokens
from boxship.cluster.node.volumes.writing import File
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure

WRITTEN = ("configMap", "secret", "downwardAPI", "projected")  # kinds that are files of ours
HELD = {"configMap": (CONFIG_MAPS, "name"), "secret": (SECRETS, "secretName")}
FOLDERS = ("emptyDir", "hostPath", "persistentVolumeClaim", "ephemeral", "image")


class Wanted(msgspec.Struct, frozen=True):
    """A volume that becomes files: what they are now."""

    name: str
    files: Files


def kind_of(volume: Mapping[str, Any]) -> str:
    """The volume's source; one that says nothing is an emptyDir."""
    return next((key for key, value in volume.items() if key != "name" and value is not None), "emptyDir")


def places_of(pod: Object) -> Iterator[Place]:
    """The config maps and secrets that a pod's volumes show."""
    namespace = pod["metadata"]["namespace"]
    for volume in pod["spec"].get("volumes") or ():
        for kind, (resource, key) in HELD.items():
            if volume.get(kind) is not None:
                yield resource, namespace, volume[kind].get(key) or ""
        for source in (volume.get("projected") or {}).get("sources") or ():
            for kind, (resource, _) in HELD.items():
                if source.get(kind) is not None:
                    yield resource, namespace, source[kind].get("name") or ""


class Sources:
    """Reads what volumes show."""

    def __init__(self, client: Client, held: HeldObjects, tokens: Tokens, facts: NodeFacts) -> None:
        self._client = client
        self._held = held
        self._tokens = tokens
        self._facts = facts

    async def files_of(self, pod: Object, volume: Mapping[str, Any]) -> Files:
        """The files of a volume of one of the kinds `WRITTEN`. Raises NotPossible."""
        try:
            return payloads.checked(await self._files(pod, volume))
        except (MissingKey, Failure) as error:
            raise refused(volume["name"], str(error)) from error

    async def _files(self, pod: Object, volume: Mapping[str, Any]) -> Files:
        kind = kind_of(volume)
        source: Mapping[str, Any] = volume[kind]
        mode = source.get("defaultMode")
        mode = MODE if mode is None else int(mode)
        if kind == "projected":
            found: Files = {}
            for part in source.get("sources") or ():
                for name, inner in part.items():
                    found |= await self._part(pod, name, inner, mode)
            return found
        return await self._part(pod, kind, source, mode)

    async def _part(self, pod: Object, kind: str, source: Mapping[str, Any], mode: int) -> Files:
        namespace = pod["metadata"]["namespace"]
        if kind == "configMap":
            object = await self._object(CONFIG_MAPS, namespace, source.get("name") or "", source)
            return payloads.config_map_files(source, object, mode)
        if kind == "secret":
            name = source.get("secretName") or source.get("name") or ""
            return payloads.secret_files(source, await self._object(SECRETS, namespace, name, source), mode)
        if kind == "downwardAPI":
            return payloads.downward_files(source, pod, mode, self._facts)
        if kind == "serviceAccountToken":
            text = await self._tokens.of(pod, source)
            return {source["path"]: token_file(pod, text, mode)}
        raise MissingKey(f"unsupported: projected source {kind}")

    async def _object(self, resource: str, namespace: str, name: str, source: Mapping[str, Any]) -> Object | None:
        try:
            return await self._held.get(resource, namespace, name)
        except Failure as failure:
            if failure.reason == "NotFound" and source.get("optional"):
                return None
            if failure.reason == "NotFound":
                raise MissingKey(unreadable(resource, name, failure)) from failure
            raise


def token_file(pod: Object, text: str, mode: int) -> File:
    """A token is for one user or one group alone, where these are known."""
    context = pod["spec"].get("securityContext") or {}
    containers = [*(pod["spec"].get("initContainers") or ()), *(pod["spec"].get("containers") or ())]
    users = {(one.get("securityContext") or {}).get("runAsUser", context.get("runAsUser")) for one in containers}
    user = users.pop() if len(users) == 1 else None
    if user is not None or context.get("fsGroup") is not None:
        mode = 0o600
    return File(text.encode(), mode, -1 if user is None else int(user))


def empty_folder(root: Path, uid: str, name: str) -> Path:
    return root / uid / "volumes" / name


def memory_folder(root: Path, uid: str, name: str) -> Path:
    """Where the files of a volume lie that must not reach a disk."""
    return root / "memory" / uid / name
