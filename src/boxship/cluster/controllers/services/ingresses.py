"""What the control plane does for Ingresses, which the nodes carry out: says under which addresses they are served and
what of them is not supported, and keeps the certificate of our authority for hosts that have none.
"""

import base64
import binascii
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime

from boxship.cluster.access import Client
from boxship.cluster.controllers.services.balancing import Node, node_addresses
from boxship.cluster.controllers.workloads.writing import write_status
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.ingress.annotations import is_expression, parse
from boxship.cluster.objects.ingress.classes import OWN_CERTIFICATE, hosts_without_certificate, is_ours, our_classes
from boxship.cluster.objects.ingress.reading import pattern
from boxship.cluster.reconcile.cache import Cache, Key, key_of
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again
from boxship.pki.certificates import Issuer
from boxship.pki.cluster_serving import make_pair, seconds_left

RESOURCE = "networking.k8s.io/v1/ingresses"
NAME = "boxship ingress"  # in the certificate
LARGEST = 500  # hosts of one certificate
MOST_TOLD = 10  # hosts without one, of an Ingress
NO_CERTIFICATE = "the certificate of the cluster's authority does not cover"
REASONS = {"unsupported": "Unsupported", NO_CERTIFICATE: "NoCertificate"}  # by how a complaint begins
OWN_NAMES, OWN_ENDS = ("kubernetes", "localhost"), (".svc", ".svc.cluster.local")
CERTIFICATE: Key = ("", "certificate")
ALL: Key = ("", "")  # the certificate and every Ingress: however many nodes changed, once


class Ingresses:
    name = "ingress-controller"
    workers = 1

    def __init__(
        self,
        client: Client,
        ingresses: Cache,
        classes: Cache,
        nodes: Cache,
        issuer: Issuer,
        events: Events,
        now: Callable[[], datetime],
    ) -> None:
        """`nodes` are kept as balancing.Node."""
        self._client = client
        self._ingresses = ingresses
        self._classes = classes
        self._nodes = nodes
        self._issuer = issuer
        self._events = events
        self._now = now
        self._told: dict[Key, tuple[str, tuple[str, ...]]] = {}
        self._left_out: Mapping[Key, tuple[str, ...]] = {}  # what those are told whose hosts get no certificate
        self.caches = (ingresses, classes, nodes)
        self.queue: Queue[Key] = Queue()
        ingresses.subscribe(self._ingress_changed)
        classes.subscribe(lambda key, old, new: self._wake())
        nodes.subscribe(self._node_changed)

    async def reconcile(self, key: Key) -> Again | None:
        if key == ALL:
            for one in (CERTIFICATE, *(one for one, _ in self._ingresses.items())):
                self.queue.add(one)
            return None
        if key == CERTIFICATE:
            return await self._keep_certificate()
        ingress = self._ingresses.get(key)
        if ingress is None or not is_ours(ingress, self._ours()):
            self._told.pop(key, None)
            return None
        self._tell(key, ingress)
        points = [{"ip": address} for address in node_addresses(node for _, node in self._nodes.items())]
        await write_status(self._client, RESOURCE, ingress, {"loadBalancer": {"ingress": points} if points else {}})
        return None

    def _ours(self) -> frozenset[str]:
        return our_classes(one for _, one in self._classes.items())

    def _tell(self, key: Key, ingress: Object) -> None:
        """Each complaint once for each version of what it is about."""
        complaints = (*complaints_of(ingress), *self._left_out.get(key, ()))
        about = (ingress["metadata"]["uid"], complaints)
        if self._told.get(key) == about:
            return
        self._told[key] = about
        for one in complaints:
            reason = next((reason for start, reason in REASONS.items() if one.startswith(start)), "Rejected")
            self._events.tell(ingress, "Warning", reason, one)
        if not complaints:
            self._events.tell(ingress, "Normal", "Sync", "Scheduled for sync")

    async def _keep_certificate(self) -> Again | None:
        ours = self._ours()
        ingresses = [one for _, one in self._ingresses.items() if is_ours(one, ours)]
        nodes = {name for (_, name), _ in self._nodes.items()}
        certified, left_out = certified_of(ingresses, nodes)
        for key in {*left_out, *self._left_out}:
            if left_out.get(key) != self._left_out.get(key):
                self.queue.add(key)
        self._left_out = left_out
        if not ingresses:
            return None
        hosts = sorted(certified) or ["ingress.cluster.local"]
        namespace, name = OWN_CERTIFICATE
        current = await self._secret()
        if current is not None:
            left = seconds_left(_pair_of(current), NAME, hosts, self._issuer, self._now())
            if left:
                return Again(left)
        certificate, private = make_pair(NAME, hosts, self._issuer, self._now())
        data = {"tls.crt": base64.b64encode(certificate).decode(), "tls.key": base64.b64encode(private).decode()}
        if current is not None:
            await self._client.update("v1/secrets", {**current, "data": data})
        else:
            made = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data}
            made["metadata"] = {"name": name, "namespace": namespace}
            await self._client.create("v1/secrets", namespace, made)
        return Again(seconds_left((certificate, private), NAME, hosts, self._issuer, self._now()))

    async def _secret(self) -> Object | None:
        try:
            return await self._client.get("v1/secrets", *OWN_CERTIFICATE)
        except Failure as failure:
            if failure.reason != "NotFound":
                raise
            return None

    def _ingress_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if old is None or new is None or hosts_without_certificate(old) != hosts_without_certificate(new):
            self.queue.add(CERTIFICATE)  # first: it says what is to be told
        self.queue.add(key)

    def _node_changed(self, key: Key, old: Node | None, new: Node | None) -> None:
        if old != new:
            self._wake()

    def _wake(self) -> None:
        self.queue.add(ALL)


def complaints_of(ingress: Object) -> Iterable[str]:
    """What of an Ingress is not acted upon, each as one sentence."""
    metadata = ingress["metadata"]
    settings = parse(metadata.get("annotations") or {}, metadata.get("namespace", ""))
    yield from (f"unsupported: {name}" for name in settings.unsupported)
    yield from settings.wrong
    if settings.closed:
        yield f"nothing is served until {settings.closed} is taken away or right: it is there to protect something"
    spec = ingress.get("spec") or {}
    backends = [
        entry.get("backend")
        for rule in spec.get("rules") or ()
        for entry in (rule.get("http") or {}).get("paths") or ()
    ]
    for entry in (entry for rule in spec.get("rules") or () for entry in (rule.get("http") or {}).get("paths") or ()):
        if is_expression(settings, entry.get("pathType") or ""):
            try:
                pattern(entry.get("path") or "/")
            except ValueError as error:
                yield f"path {entry.get('path')}: {error}"
    if any((backend or {}).get("resource") for backend in [*backends, spec.get("defaultBackend")]):
        yield "unsupported: backends that are no Services"


def certified_of(
    ingresses: Iterable[Object], nodes: Collection[str]
) -> tuple[Collection[str], Mapping[Key, tuple[str, ...]]]:
    """The hosts of the certificate, older Ingresses' first, and what is told to whoever gets none."""
    hosts: dict[str, None] = {}
    told: dict[Key, list[str]] = {}
    for one in sorted(ingresses, key=_age_of):
        for host in hosts_without_certificate(one):
            if is_of_the_cluster(host, nodes):
                why = "it is a name of the cluster itself"
            elif host in hosts or len(hosts) < LARGEST:
                hosts[host] = None
                continue
            else:
                why = f"it is for {LARGEST} hosts, those of the oldest Ingresses; name a secret in spec.tls"
            told.setdefault(key_of(one), []).append(f"{NO_CERTIFICATE} {host}: {why}")
    return hosts, {key: tuple(found[:MOST_TOLD]) for key, found in told.items()}


def _age_of(ingress: Object) -> tuple[str, Key]:
    return ingress["metadata"].get("creationTimestamp") or "", key_of(ingress)


def is_of_the_cluster(host: str, nodes: Collection[str]) -> bool:
    """Whether the API, a service or a node's agent may be known by that name: whoever had a certificate of the
    cluster's authority for it could stand in for them."""
    if host.removeprefix("*.").partition(".")[0] in OWN_NAMES or host.endswith(OWN_ENDS):
        return True
    if host.startswith("*."):
        return any(node.partition(".")[2] == host[2:] for node in nodes)
    return host in nodes


def _pair_of(secret: Object) -> tuple[bytes, bytes]:
    data = secret.get("data") or {}
    try:
        return base64.b64decode(data.get("tls.crt") or ""), base64.b64decode(data.get("tls.key") or "")
    except binascii.Error:
        return b"", b""
