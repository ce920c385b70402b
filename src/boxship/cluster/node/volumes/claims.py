"""A pod's claim → the persistent volume behind it → a folder or device of this machine.

Source: kubernetes.io, "Persistent Volumes", "Volumes" (local, hostPath); the messages are the original's.
"""

import os
import stat
from collections.abc import Mapping
from typing import Any

from boxship.cluster.access import Reader
from boxship.cluster.node.plan.facts import NodeFacts
from boxship.cluster.node.planning import Mounted, NotPossible
from boxship.cluster.node.volumes.hostpaths import check_host_path
from boxship.cluster.node.volumes.local import make_folder
from boxship.cluster.node.volumes.payloads import refused
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure

CLAIMS, VOLUMES = "v1/persistentvolumeclaims", "v1/persistentvolumes"
ENTRIES = ("capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions")


class Behind(Mounted, frozen=True):
    """What is behind a claim. `owned`: fsGroup counts for it."""

    owned: bool = False


async def volume_of(reader: Reader, pod: Object, volume: Mapping[str, Any]) -> Object:
    """The persistent volume that a pod's claim is bound to. Raises NotPossible."""
    namespace, name = pod["metadata"]["namespace"], volume["name"]
    source = volume.get("persistentVolumeClaim") or {}
    generic = volume.get("ephemeral") is not None
    claim_name = f"{pod['metadata']['name']}-{name}" if generic else source["claimName"]
    try:
        claim = await reader.get(CLAIMS, namespace, claim_name)
        if generic:
            check_owner(pod, claim)
        bound = (claim.get("spec") or {}).get("volumeName")
        if (claim.get("status") or {}).get("phase") != "Bound" or not bound:
            raise refused(name, f'PVC "{namespace}/{claim_name}" is not bound')
        found = await reader.get(VOLUMES, "", bound)
    except Failure as failure:
        why = f"failed to fetch PVC from API server: {failure}" if failure.reason == "NotFound" else str(failure)
        raise refused(name, why) from failure
    reference = (found.get("spec") or {}).get("claimRef") or {}
    if reference.get("uid") != claim["metadata"]["uid"]:
        raise refused(name, f'PVC "{namespace}/{claim_name}" is not bound to volume {bound}')
    return found


def check_owner(pod: Object, claim: Object) -> None:
    """A generic volume's claim has to be the pod's own, not one that happens to have its name."""
    owners = claim["metadata"].get("ownerReferences") or ()
    if not any(owner.get("uid") == pod["metadata"]["uid"] and owner.get("controller") for owner in owners):
        metadata = claim["metadata"]
        why = f"PVC {metadata['namespace']}/{metadata['name']} was not created for pod (pod is not owner)"
        raise NotPossible("FailedMount", why)


def folder_behind(found: Object, volume: Mapping[str, Any], facts: NodeFacts) -> Behind:
    """Blocking. Raises NotPossible."""
    spec, name = found["spec"], volume["name"]
    read_only = bool((volume.get("persistentVolumeClaim") or {}).get("readOnly"))
    if spec.get("mountOptions"):
        raise refused(name, f"unsupported: mountOptions of volume {found['metadata']['name']}")
    block = spec.get("volumeMode") == "Block"
    if spec.get("hostPath") is not None and not block:
        mounted = check_host_path(name, spec["hostPath"])
        return Behind(mounted.kind, mounted.path, read_only)
    if spec.get("local") is not None:
        path = str(spec["local"]["path"])
        make_folder(found, facts)
        return _local(name, path, read_only, block=block)
    kind = next((key for key in spec if isinstance(spec[key], dict) and key not in (*ENTRIES, "nodeAffinity")), "")
    raise refused(name, f"unsupported: persistent volumes of kind {kind}")


def _local(name: str, path: str, read_only: bool, *, block: bool) -> Behind:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise refused(name, f'path "{path}" does not exist') from error
    if block:
        if not stat.S_ISBLK(mode):
            raise refused(name, f'path "{path}" is not a block device')
        return Behind("device", path, read_only)
    if stat.S_ISBLK(mode):
        raise refused(name, f"unsupported: the filesystem of a block device ({path})")
    return Behind("folder" if stat.S_ISDIR(mode) else "file", path, read_only, owned=stat.S_ISDIR(mode))
