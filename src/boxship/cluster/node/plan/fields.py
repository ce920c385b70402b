"""Fields of a pod and amounts of a container as text: for variables and for files of the downward API. Pure.

Source: kubernetes.io, "Downward API".
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.node.plan.facts import NodeFacts, container_named
from boxship.cluster.objects import Object
from boxship.cluster.objects.quantity import NANO, parse

_SUBSCRIPTED = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]")
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
ADDRESSES = ("status.podIP", "status.podIPs", "status.hostIP", "status.hostIPs")


class UnknownField(Exception):
    """A path that is no field of a pod."""


def field_text(pod: Object, path: str, *, facts: NodeFacts, addresses: Sequence[str] = ()) -> str:
    """`addresses` are the pod's own, where they are known better than its status says. Raises UnknownField."""
    metadata, spec = pod["metadata"], pod["spec"]
    subscripted = _SUBSCRIPTED.fullmatch(path)
    if subscripted is not None:
        return str((metadata.get(subscripted[1].partition(".")[2]) or {}).get(subscripted[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        return map_text(metadata.get(path.partition(".")[2]) or {})
    if path in ("metadata.name", "metadata.namespace", "metadata.uid"):
        return str(metadata.get(path.partition(".")[2], ""))
    if path in ("spec.nodeName", "spec.serviceAccountName", "spec.restartPolicy", "spec.schedulerName"):
        return str(spec.get(path.partition(".")[2]) or ("default" if path == "spec.serviceAccountName" else ""))
    if path in ADDRESSES:
        own = facts.addresses if path.startswith("status.host") else tuple(addresses) or _told(pod)
        return ",".join(own) if path.endswith("s") else next(iter(own), "")
    if path == "status.phase":
        return str((pod.get("status") or {}).get("phase", ""))
    raise UnknownField(path)


def _told(pod: Object) -> tuple[str, ...]:
    status = pod.get("status") or {}
    several = tuple(entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip"))
    return several or ((status["podIP"],) if status.get("podIP") else ())


def map_text(table: Mapping[str, Any]) -> str:
    """Labels or annotations, one a line: key="value" with the value's special characters escaped."""
    return "\n".join(f"{key}={_quoted(str(table[key]))}" for key in sorted(table))


def _quoted(text: str) -> str:
    pieces = []
    for char in text:
        if char in ('"', "\\"):
            pieces.append("\\" + char)
        elif char in _ESCAPES:
            pieces.append(_ESCAPES[char])
        elif char.isprintable():
            pieces.append(char)
        elif ord(char) < 0x80:
            pieces.append(f"\\x{ord(char):02x}")
        elif ord(char) < 0x10000:
            pieces.append(f"\\u{ord(char):04x}")
        else:
            pieces.append(f"\\U{ord(char):08x}")
    return '"' + "".join(pieces) + '"'


def amount_text(pod: Object, reference: Mapping[str, Any], *, facts: NodeFacts, container: str = "") -> str:
    """A resourceFieldRef: a request or limit in units of the divisor, rounded up. Where there is no limit, the pod's
    counts, else what the node can give. Raises UnknownField."""
    owner = container_named(pod, str(reference.get("containerName") or container))
    side, _, name = str(reference.get("resource") or "").partition(".")
    if side not in ("limits", "requests") or not name:
        raise UnknownField(str(reference.get("resource")))
    resources = owner.get("resources") or {}
    text = (resources.get(side) or {}).get(name)
    nanos = parse(text).nanos if text is not None else 0
    if side == "limits" and not nanos:
        whole = (pod["spec"].get("resources") or {}).get("limits") or {}
        nanos = parse(whole[name]).nanos if name in whole else _available(name, facts)
    divisor = parse(reference.get("divisor") or "1").nanos or NANO
    unit = NANO // 1000 if name == "cpu" else NANO
    return str(_up(_up(nanos, unit), _up(divisor, unit)))


def _up(amount: int, unit: int) -> int:
    """How many units, rounded up."""
    return -(-amount // unit)


def _available(name: str, facts: NodeFacts) -> int:
    """Billionths."""
    known = {
        "cpu": facts.cpu_milli * (NANO // 1000),
        "memory": facts.memory_bytes * NANO,
        "ephemeral-storage": facts.storage_bytes * NANO,
    }
    return known.get(name, 0)
