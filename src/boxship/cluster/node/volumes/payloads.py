"""Config maps, secrets and fields of the pod as files. Pure.

Source: API reference ConfigMapVolumeSource, SecretVolumeSource, ProjectedVolumeSource, DownwardAPIVolumeSource; the
messages are the original's.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.node.plan import fields
from boxship.cluster.node.plan.facts import NodeFacts
from boxship.cluster.node.planning import NotPossible
from boxship.cluster.node.volumes.writing import File
from boxship.cluster.objects import Object

MODE = 0o644
Files = dict[str, File]


def refused(volume: str, why: str) -> NotPossible:
    """A volume that cannot be had now."""
    return NotPossible("FailedMount", f'MountVolume.SetUp failed for volume "{volume}" : {why}')


class MissingKey(Exception):
    """A key that an object lacks and that is not optional."""


def config_map_files(source: Mapping[str, Any], object: Object | None, mode: int) -> Files:
    """`object` None: it is not there and need not be. Raises MissingKey."""
    data: dict[str, bytes] = {}
    if object is not None:
        data = {key: str(text).encode() for key, text in (object.get("data") or {}).items()}
        data |= {key: _decoded(text) for key, text in (object.get("binaryData") or {}).items()}
    return _chosen(source, data, mode, "configmap references non-existent config key: {}")


def secret_files(source: Mapping[str, Any], object: Object | None, mode: int) -> Files:
    """The same of a secret."""
    data: dict[str, bytes] = {}
    if object is not None:
        data = {key: _decoded(text) for key, text in (object.get("data") or {}).items()}
    return _chosen(source, data, mode, "references non-existent secret key: {}")


def downward_files(source: Mapping[str, Any], pod: Object, mode: int, facts: NodeFacts) -> Files:
    """Raises MissingKey for a field that is none."""
    found = {}
    for item in source.get("items") or ():
        try:
            if item.get("fieldRef") is not None:
                text = fields.field_text(pod, str(item["fieldRef"].get("fieldPath")), facts=facts)
            else:
                text = fields.amount_text(pod, item.get("resourceFieldRef") or {}, facts=facts)
        except (fields.UnknownField, KeyError) as error:
            raise MissingKey(f"unsupported fieldPath: {error}") from error
        found[item["path"]] = File(text.encode(), _own_mode(item, mode))
    return found


def _chosen(source: Mapping[str, Any], data: Mapping[str, bytes], mode: int, complaint: str) -> Files:
    items: Sequence[Mapping[str, Any]] | None = source.get("items")
    if not items:
        return {key: File(content, mode) for key, content in data.items()}
    found = {}
    for item in items:
        key = item["key"]
        if key in data:
            found[item["path"]] = File(data[key], _own_mode(item, mode))
        elif not source.get("optional"):
            raise MissingKey(complaint.format(key))
    return found


def _own_mode(item: Mapping[str, Any], mode: int) -> int:
    own = item.get("mode")
    return mode if own is None else int(own)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except binascii.Error:
        return b""


def checked(files: Files) -> Files:
    """Raises MissingKey for a path that is none inside a folder: the API refuses such, but not for what is stored."""
    for path in files:
        words = path.split("/")
        if path.startswith("/") or ".." in words or words[0].startswith("..") or not all(words):
            raise MissingKey(f"invalid path {path!r}")
    return files
