"""PodAddress of node.boxship.io: of a pod only what its neighbours have to know to let it pass or not. Pure.

Nodes enforce NetworkPolicies by all pods of the cluster, and yet must not read what these run: a view of stored pods
without their commands, environment, images, volumes and annotations. It is made of the bytes of the pod each time, so
its versions are the pod's and lists and watches mean what they mean for pods. Nothing may be added here that a stolen
node should not learn of other nodes' pods.
"""

from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.catalog import ADDRESSES, FOR_NODES
from boxship.cluster.objects.kinds import rules_of
from boxship.cluster.objects.rules import Rules

KIND, API_VERSION = ADDRESSES[0].kind, f"{FOR_NODES}/v1"
SELECTABLE = ("spec.nodeName", "spec.hostNetwork", "status.phase", "status.podIP")


class _Metadata(msgspec.Struct, omit_defaults=True):
    """Declared by name, in the order in which stored objects have them."""

    name: str
    namespace: str = ""
    uid: str = ""
    creationTimestamp: str | None = None
    deletionTimestamp: str | None = None
    labels: dict[str, str] | None = None


class _Port(msgspec.Struct, omit_defaults=True):
    containerPort: int
    name: str = ""
    protocol: str = ""


class _Container(msgspec.Struct, omit_defaults=True):
    name: str
    restartPolicy: str | None = None
    ports: list[_Port] | None = None


class _Spec(msgspec.Struct, omit_defaults=True):
    nodeName: str = ""
    hostNetwork: bool | None = None
    containers: list[_Container] | None = None
    initContainers: list[_Container] | None = None


class _Status(msgspec.Struct, omit_defaults=True):
    phase: str = ""
    podIP: str = ""
    podIPs: list[dict[str, str]] | None = None


class _Pod(msgspec.Struct):
    """What is read of a pod; the rest of it, which is most, is skipped over."""

    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


class _PodAddress(msgspec.Struct):
    kind: str
    apiVersion: str
    metadata: _Metadata
    spec: _Spec
    status: _Status


_decoder = msgspec.json.Decoder(_Pod)
_encoder = msgspec.json.Encoder()


def cut(value: bytes) -> bytes:
    """The stored form that the PodAddress of a stored pod would have."""
    pod = _decoder.decode(value)
    pod.spec.containers = _named(pod.spec.containers)
    pod.spec.initContainers = _named(pod.spec.initContainers)
    return _encoder.encode(_PodAddress(KIND, API_VERSION, pod.metadata, pod.spec, pod.status))


def _named(containers: list[_Container] | None) -> list[_Container] | None:
    """Those that have ports with names, with these alone: a policy may mean a port by its name."""
    found = []
    for container in containers or ():
        ports = [port for port in container.ports or () if port.name]
        if ports:
            found.append(_Container(container.name, container.restartPolicy, ports))
    return found or None


def _fields(pod: Object) -> dict[str, str]:
    found = rules_of("", "Pod").fields(pod)
    return {field: found[field] for field in SELECTABLE}


RULES = Rules(fields=_fields)

_TEXT: dict[str, Any] = {"type": "string"}
_PORT: dict[str, Any] = {
    "type": "object",
    "required": ["containerPort"],
    "properties": {"name": _TEXT, "containerPort": {"type": "integer", "format": "int32"}, "protocol": _TEXT},
}
_CONTAINER: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": _TEXT, "restartPolicy": _TEXT, "ports": {"type": "array", "items": _PORT}},
}
_CONTAINERS = {"type": "array", "items": _CONTAINER, "description": "Those that have ports with names."}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "PodAddress is what nodes may know of every pod: a view that can only be read.",
    "properties": {
        "spec": {
            "type": "object",
            "description": "Where the pod runs, and its named ports.",
            "properties": {
                "nodeName": _TEXT,
                "hostNetwork": {"type": "boolean"},
                "containers": _CONTAINERS,
                "initContainers": _CONTAINERS,
            },
        },
        "status": {
            "type": "object",
            "description": "The pod's phase and addresses.",
            "properties": {
                "phase": _TEXT,
                "podIP": _TEXT,
                "podIPs": {"type": "array", "items": {"type": "object", "properties": {"ip": _TEXT}}},
            },
        },
    },
}
