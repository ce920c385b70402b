"""Pods that a folder on this machine says, without the API: read, checked, named after the node. The API has a mirror
of each, which the agent makes and which nobody can end.

The folder is looked at every other second: what has not changed costs one listing. Source: documentation "Create static
Pods".
"""

import hashlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from boxship.cluster.objects import Object, times
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.kinds.core_pod_defaults import default_pod
from boxship.cluster.objects.kinds.core_pods import RULES
from boxship.errors import BoxshipError
from boxship.waiting import in_thread
from boxship.wire.yaml_text import read

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
FILE_BYTES = 1 << 20
FILES_LIMIT = 500
SOURCE, HASH, MIRROR, SEEN = (
    "kubernetes.io/config.source",
    "kubernetes.io/config.hash",
    "kubernetes.io/config.mirror",
    "kubernetes.io/config.seen",
)
NOT_STATIC = ("configMap", "secret", "projected", "persistentVolumeClaim", "ephemeral")


class Manifests:
    """What the folder says."""

    def __init__(self, folder: str, node: str) -> None:
        self._folder = Path(folder)
        self._node = node
        self._stamps: Mapping[str, tuple[int, int]] = {}
        self.pods: dict[str, Object] = {}  # by uid

    async def look(self, now: float) -> bool:
        """Whether something has changed."""
        stamps = await in_thread(_stamps_of, self._folder)
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        found: dict[str, Object] = {}
        for name in sorted(stamps):
            try:
                pod = static_pod(await in_thread(_bytes_of, self._folder / name), self._node, now)
            except (BoxshipError, OSError, ValueError) as error:
                log.warning("cannot use the static pod %s: %s", self._folder / name, error)
                continue
            found[pod["metadata"]["uid"]] = self.pods.get(pod["metadata"]["uid"], pod)
        changed = found.keys() != self.pods.keys()
        self.pods = found
        return changed


def _stamps_of(folder: Path) -> Mapping[str, tuple[int, int]]:
    try:
        files = [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()]
        return {path.name: (path.stat().st_mtime_ns, path.stat().st_size) for path in files[:FILES_LIMIT]}
    except OSError:
        return {}


def _bytes_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(FILE_BYTES)


def static_pod(data: bytes, node: str, now: float) -> Object:
    """The pod that a manifest says, as this node runs it. Raises ValueError or an error of ours."""
    pod, _ = read(data)
    if not isinstance(pod, dict) or pod.get("kind") != "Pod" or pod.get("apiVersion") != "v1":
        raise ValueError("it is no Pod of v1")
    metadata: dict[str, Any] = pod.setdefault("metadata", {})
    if not isinstance(metadata, dict) or not isinstance(pod.get("spec"), dict) or not metadata.get("name"):
        raise ValueError("it has no name or no spec")
    uid = hashlib.md5(data + b"\0" + node.encode(), usedforsecurity=False).hexdigest()
    metadata["name"] = f"{metadata['name']}-{node}"
    metadata["namespace"] = metadata.get("namespace") or "default"
    seen = times.stamp(datetime.fromtimestamp(now, UTC))
    metadata["annotations"] = {**(metadata.get("annotations") or {}), SOURCE: "file", HASH: uid, SEEN: seen}
    spec = pod["spec"]
    spec["nodeName"] = node
    spec.setdefault("tolerations", []).append({"operator": "Exists", "effect": "NoExecute"})
    default_pod(pod)
    wrong = [f"{cause.field}: {cause.message}" for cause in RULES["Pod"].validate(pod)]
    for volume in spec.get("volumes") or ():
        wrong += [f"static pods may not have a volume of the kind {kind}" for kind in NOT_STATIC if volume.get(kind)]
    if spec.get("serviceAccountName"):
        wrong.append("static pods may not have a service account")
    if wrong:
        raise ValueError("; ".join(wrong))
    metadata["uid"] = uid
    pod.pop("status", None)
    return pod


def mirror_of(pod: Object, node: Object) -> Object:
    """What the API is given for a static pod."""
    metadata = pod["metadata"]
    owner = {
        "apiVersion": "v1",
        "kind": "Node",
        "name": node["metadata"]["name"],
        "uid": node["metadata"]["uid"],
        "controller": True,
    }
    kept = {key: copied(metadata[key]) for key in ("name", "namespace", "labels") if key in metadata}
    annotations = {**metadata["annotations"], MIRROR: metadata["annotations"][HASH]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**kept, "annotations": annotations, "ownerReferences": [owner]},
        "spec": copied(pod["spec"]),
    }


def mirrored(pod: Object) -> str:
    """The uid of the static pod whose mirror this is, "" for none."""
    return str((pod["metadata"].get("annotations") or {}).get(MIRROR) or "")
