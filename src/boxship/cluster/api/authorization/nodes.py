"""What a node may do: its own Node, lease and pods, and of secrets, config maps, claims and tokens those that a pod
on it needs (kubernetes.io, "Using Node Authorization").

Which node needs what is kept as a count of pods for each thing, from the pods alone; it is not begun before a node asks
for the first time, because clusters without nodes of this kind should not pay for it.
"""

import asyncio

from boxship.cluster.api.authorization.mirror import Mirror
from boxship.cluster.api.authorization.needs import Thing, needs_of, secrets_of_volume
from boxship.cluster.api.authorization.offers import Offers
from boxship.cluster.api.authorization.rules import Rule
from boxship.cluster.api.request import Ask, Decision, User
from boxship.cluster.api.storage import Storage
from boxship.cluster.objects import Object
from boxship.cluster.objects.catalog import built_in
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.selectors import parse_fields, parse_labels

NODES = "system:nodes"
PREFIX = "system:node:"
LEASES = "kube-node-lease"
READ = ("get", "list", "watch")
WRITE = ("create", "update", "patch", "delete")

OWN_RULES = (
    Rule(("create",), ("authentication.k8s.io",), ("tokenreviews",)),
    Rule(("create",), ("authorization.k8s.io",), ("localsubjectaccessreviews", "subjectaccessreviews")),
    Rule(READ, ("",), ("services",)),
    Rule(("create",), ("",), ("nodes",)),
    Rule(("update", "patch"), ("",), ("nodes", "nodes/status")),
    Rule(("delete",), ("",), ("nodes",)),
    Rule(("create", "delete"), ("",), ("pods",)),
    Rule(("update", "patch"), ("",), ("pods/status",)),
    Rule(("create",), ("",), ("pods/eviction",)),
    Rule(("create", "update", "patch"), ("", "events.k8s.io"), ("events",)),
    Rule(("get",), ("",), ("endpoints",)),
    Rule(("create", "get", "list", "watch"), ("certificates.k8s.io",), ("certificatesigningrequests",)),
    Rule(READ, ("storage.k8s.io",), ("csidrivers",)),
    Rule(READ, ("node.k8s.io",), ("runtimeclasses",)),
)
# Resources of which a node sees what its pods need: (group, resource) → verbs.
NEEDED = {
    ("", "secrets"): READ,
    ("", "configmaps"): READ,
    ("", "persistentvolumeclaims"): ("get",),
    ("", "persistentvolumes"): ("get",),
    ("resource.k8s.io", "resourceclaims"): ("get",),
    ("storage.k8s.io", "volumeattachments"): ("get",),
}
LOCAL_VOLUMES = "boxship.io/local-volume-node"  # the label of volumes whose folders are a node's own


def node_of(user: User) -> str:
    """The name of the node that a user is, or ""."""
    return user.name.removeprefix(PREFIX) if NODES in user.groups and user.name.startswith(PREFIX) else ""


class Nodes:
    """Decides for users that are nodes."""

    def __init__(self, storage: Storage) -> None:
        self._pods: dict[tuple[str, str], tuple[str, frozenset[Thing]]] = {}
        self._needs: dict[Thing, dict[str, int]] = {}  # thing → node → pods there that need it
        self._volumes: dict[str, tuple[Thing, frozenset[Thing]]] = {}  # claim and secrets of a volume
        self._secrets: dict[Thing, set[str]] = {}  # secret → volumes
        self._attached: dict[str, str] = {}  # attachment → node
        self._offers = Offers()
        self._local: dict[str, str] = {}  # volume → the node that has its folder
        resources = [
            built_in("", "v1", "pods"),
            built_in("", "v1", "persistentvolumes"),
            built_in("storage.k8s.io", "v1", "volumeattachments"),
            built_in("networking.k8s.io", "v1", "ingresses"),
            built_in("networking.k8s.io", "v1", "ingressclasses"),
        ]
        self._mirror = Mirror(storage, [resource for resource in resources if resource], self._told)
        self._asked = asyncio.Event()

    async def follow(self) -> None:
        """Without end, from the first question on."""
        await self._asked.wait()
        await self._mirror.follow()

    async def refresh(self) -> bool:
        """Know everything up to now."""
        if not self._mirror.is_loaded:
            await self._mirror.load()
            self._asked.set()
            return True
        return await self._mirror.refresh()

    def decide(self, node: str, ask: Ask) -> Decision:
        """The node authoriser's word alone."""
        why = self._objection(node, ask)
        if why is None:
            return Decision(True)
        return Decision(False, why)

    def _objection(self, node: str, ask: Ask) -> str | None:
        """None: allowed. Else why not; "" where it is nothing of a node's at all."""
        resource, verb = ask.resource, ask.verb
        place = (ask.group, resource)
        if ask.path:
            return ""
        if place == ("", "persistentvolumes") and self._is_local(node, ask):
            return None
        if place in NEEDED:
            return self._read_needed(node, ask, NEEDED[place])
        if place == ("", "serviceaccounts"):
            return self._token(node, ask)
        if place == ("coordination.k8s.io", "leases"):
            return _own_lease(node, ask)
        if place == ("storage.k8s.io", "csinodes") and not ask.subresource:
            return _own_object(node, ask, "CSINode")
        if place == ("resource.k8s.io", "resourceslices") and not ask.subresource:
            return _own_slices(node, ask)
        if place == ("", "nodes") and verb in READ and not ask.subresource:
            return None if ask.name == node else f"node {_q(node)} cannot read all nodes, only its own Node object"
        if place == ("", "pods") and verb in READ and not ask.subresource:
            return self._pods_objection(node, ask)
        shown = f"{resource}/{ask.subresource}" if ask.subresource else resource
        if any(rule.allows_verb(verb) and rule.allows_resource(ask.group, shown) for rule in OWN_RULES):
            return None
        return ""

    def _read_needed(self, node: str, ask: Ask, verbs: tuple[str, ...]) -> str | None:
        if ask.resource == "persistentvolumeclaims" and ask.subresource == "status":
            verbs = ("update", "patch")
        elif ask.subresource:
            return "cannot read subresource"
        if ask.verb not in verbs:
            return (
                "can only read resources of this type"
                if len(verbs) > 1
                else "can only get individual resources of this type"
            )
        if not ask.name:
            return "No Object name found"
        thing = (ask.resource, ask.namespace, ask.name)
        return (
            None if self._is_needed(node, thing) else f"no relationship found between node {_q(node)} and this object"
        )

    def _is_needed(self, node: str, thing: Thing) -> bool:
        if node in self._needs.get(thing, ()):
            return True
        if thing[0] == "secrets" and self._offers.has(thing[1:]):
            return True
        if thing[0] == "persistentvolumes":
            claim = self._volumes.get(thing[2])
            return claim is not None and node in self._needs.get(claim[0], ())
        if thing[0] == "volumeattachments":
            return self._attached.get(thing[2]) == node
        claims = (self._volumes[volume][0] for volume in self._secrets.get(thing, ()))
        return any(node in self._needs.get(claim, ()) for claim in claims)

    def _is_local(self, node: str, ask: Ask) -> bool:
        """Whether it is about volumes whose folders this node makes and removes."""
        if ask.subresource:
            return False
        if ask.verb in ("list", "watch") and not ask.name:
            return _labelled(ask, LOCAL_VOLUMES) == node
        return ask.verb in ("get", "update", "patch") and self._local.get(ask.name) == node

    def _token(self, node: str, ask: Ask) -> str | None:
        if ask.subresource != "token" or ask.verb != "create" or not ask.name:
            return "can only create tokens for individual service accounts"
        if node in self._needs.get(("serviceaccounts", ask.namespace, ask.name), ()):
            return None
        return f"no relationship found between node {_q(node)} and this object"

    def _pods_objection(self, node: str, ask: Ask) -> str | None:
        if ask.verb == "get" or (ask.name and ask.namespace):
            pod = self._pods.get((ask.namespace, ask.name))
            return None if pod and pod[0] == node else f"no relationship found between node {_q(node)} and this object"
        if _selected(ask, "spec.nodeName") == node:
            return None
        return "can only list/watch pods with spec.nodeName field selector"

    def _told(self, resource: Resource, namespace: str, name: str, object: Object | None) -> None:
        if resource.plural == "pods":
            self._told_pod(namespace, name, object)
        elif resource.plural == "ingresses":
            self._offers.told_ingress((namespace, name), object)
        elif resource.plural == "ingressclasses":
            self._offers.told_class(name, object)
        elif resource.plural == "volumeattachments":
            self._attached.pop(name, None)
            if object is not None:
                self._attached[name] = str((object.get("spec") or {}).get("nodeName", ""))
        else:
            self._told_volume(name, object)

    def _told_pod(self, namespace: str, name: str, pod: Object | None) -> None:
        node, things = self._pods.pop((namespace, name), ("", frozenset()))
        for thing in things:
            counts = self._needs[thing]
            counts[node] -= 1
            if not counts[node]:
                del counts[node]
                if not counts:
                    del self._needs[thing]
        node = str((pod.get("spec") or {}).get("nodeName") or "") if pod else ""
        if pod is None or not node:
            return
        things = frozenset(needs_of(pod))
        self._pods[namespace, name] = (node, things)
        for thing in things:
            counts = self._needs.setdefault(thing, {})
            counts[node] = counts.get(node, 0) + 1

    def _told_volume(self, name: str, volume: Object | None) -> None:
        _, secrets = self._volumes.pop(name, (("", "", ""), frozenset()))
        for secret in secrets:
            self._secrets[secret].discard(name)
            if not self._secrets[secret]:
                del self._secrets[secret]
        self._local.pop(name, None)
        labels = ((volume or {}).get("metadata") or {}).get("labels") or {}
        if labels.get(LOCAL_VOLUMES):
            self._local[name] = str(labels[LOCAL_VOLUMES])
        claim = ((volume or {}).get("spec") or {}).get("claimRef")
        if volume is None or not claim:
            return
        place = ("persistentvolumeclaims", str(claim.get("namespace", "")), str(claim.get("name", "")))
        found = frozenset(secrets_of_volume(volume["spec"], place[1]))
        self._volumes[name] = (place, found)
        for secret in found:
            self._secrets.setdefault(secret, set()).add(name)


def _own_lease(node: str, ask: Ask) -> str | None:
    if ask.subresource or ask.verb not in ("get", *WRITE):
        return "can only get, create, update, patch, or delete a node lease"
    if ask.namespace != LEASES:
        return f"can only access leases in the {_q(LEASES)} system namespace"
    if ask.name != node and not (ask.verb == "create" and not ask.name):
        return "can only access node lease with the same name as the requesting node"
    return None


def _own_object(node: str, ask: Ask, kind: str) -> str | None:
    if ask.verb not in ("get", *WRITE):
        return f"can only get, create, update, patch, or delete a {kind}"
    if ask.name != node and not (ask.verb == "create" and not ask.name):
        return f"can only access {kind} with the same name as the requesting node"
    return None


def _own_slices(node: str, ask: Ask) -> str | None:
    if ask.verb in ("list", "watch", "deletecollection"):
        if _selected(ask, "spec.nodeName") == node:
            return None
        return "can only list/watch/deletecollection resourceslices with spec.nodeName field selector"
    if ask.verb in ("get", *WRITE):
        return None
    return f"only the following verbs are allowed for a ResourceSlice: {', '.join((*READ, *WRITE))}, deletecollection"


def _selected(ask: Ask, field: str) -> str:
    if not ask.field_selector:
        return ""
    try:
        return parse_fields(ask.field_selector).exact(field) or ""
    except Failure:
        return ""


def _labelled(ask: Ask, label: str) -> str:
    try:
        return parse_labels(ask.label_selector).exact(label) or ""
    except Failure:
        return ""


def _q(text: str) -> str:
    return f'"{text}"'
