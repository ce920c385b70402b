"""The administrator's kubeconfig: read it, or merge it into a file in which other clusters may stand already.

Source: kubernetes.io, "Organizing Cluster Access Using kubeconfig Files".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from boxship.cli.call import Failure
from boxship.cli.cluster.places import Places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Object = dict[str, Any]
else:
    Object = dict


def default_file(environment: Mapping[str, str]) -> str:
    """Where kubectl looks: the first of KUBECONFIG, or ~/.kube/config."""
    first = environment.get("KUBECONFIG", "").split(":")[0]
    return first or os.path.join(environment.get("HOME") or os.path.expanduser("~"), ".kube", "config")


def read_own(places: Places) -> bytes:
    try:
        return places.kubeconfig.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Failure(f"cannot read {places.kubeconfig}: {reason}. Is the cluster up? boxship cluster up") from None


def merge_into(places: Places, target: str) -> str:
    """Put the cluster's entries into the file, in place of those of the same names, and make its context the current
    one; the context's name. What else stands in the file stays. Raises Failure where the file is no kubeconfig."""
    from boxship.wire.yaml_text import write

    own = _load(read_own(places), str(places.kubeconfig))
    path = Path(target)
    there: Object = {"apiVersion": "v1", "kind": "Config"}
    if path.exists():
        there = _load(path.read_bytes(), target) or there
    for part in ("clusters", "users", "contexts"):
        names = {entry["name"] for entry in own[part]}
        kept = [entry for entry in there.get(part) or [] if entry.get("name") not in names]
        there[part] = kept + own[part]
    there["current-context"] = own["current-context"]
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".new")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(write(there))
        file.flush()
        os.fsync(descriptor)
    os.replace(half, path)
    return str(own["current-context"])


def _load(data: bytes, where: str) -> Object:
    from boxship.errors import Invalid
    from boxship.wire.yaml_text import read

    try:
        value, _ = read(data)
    except Invalid as error:
        raise Failure(f"cannot read {where}: {error}") from None
    if value is None:
        return {}
    parts = ("clusters", "users", "contexts")
    if not isinstance(value, dict) or any(not isinstance(value.get(part) or [], list) for part in parts):
        raise Failure(f"cannot read {where}: it is no kubeconfig")
    return value
