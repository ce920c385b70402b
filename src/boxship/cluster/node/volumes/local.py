"""Folders behind persistent volumes that were provisioned on this node (storage class "local").

The control plane writes the volume, with a path below the node's own folder for them, a label that names the node and
a finalizer. The node makes the folder when a pod first uses it, and takes it away when the volume is to go: first the
folder, then the finalizer, so a kill in between leaves a folder that is removed again, never one that is forgotten.
It must never touch a path that is not directly below that folder.
"""

import os
from pathlib import Path

from boxship.cluster.node.plan.facts import NodeFacts, local_volumes
from boxship.cluster.objects import Object

PROVISIONER = "boxship.io/local"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"


def own_folder(volume: Object, facts: NodeFacts) -> Path | None:
    """The folder of a volume that was provisioned on this node; None for any other volume."""
    metadata, spec = volume["metadata"], volume.get("spec") or {}
    if (metadata.get("annotations") or {}).get(PROVISIONED_BY) != PROVISIONER:
        return None
    path = Path(str((spec.get("local") or {}).get("path") or ""))
    right = path.parent == local_volumes(facts.root) and path.name == metadata["name"]
    return path if right and path.name not in ("", ".", "..") else None


def make_folder(volume: Object, facts: NodeFacts) -> None:
    """Where it is one of ours. Blocking."""
    path = own_folder(volume, facts)
    if path is None or path.is_dir():
        return
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    path.mkdir(mode=0o777)
    os.chmod(path, 0o777)
