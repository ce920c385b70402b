"""Images from other nodes, before any registry is asked: what was built on one node runs on all, with nothing pushed.

Nodes that tell of the image in their status are asked first, then some of the others, all at once: a fresh one may not
have been told yet. The newest one wins. What comes must be the image that was announced, by its digest.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Protocol
from urllib.parse import urlencode

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.node.server.images import SharedImage
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.errors import BoxshipError, Conflict
from boxship.transport.client import HttpClient, Trust

log = logging.getLogger(__name__)

ASKED = 32  # nodes at most
FIND_SECONDS = 3.0
ANSWER_BYTES = 64 << 10
ADDRESS = "boxship.io/agent-address"


class Peer(msgspec.Struct, frozen=True):
    """Another node, as its Node says how its agent is reached."""

    name: str
    url: str
    tells: bool = False


class Store(Protocol):
    """Where images come to."""

    async def take(self, archive: AsyncIterator[bytes], id: str, reference: str) -> None:
        """Keep the image under that name. Raises Conflict where the archive has another one."""


class Peers:
    """`names_of` says all forms of a reference that a status may tell; `trust` who we are at the moment."""

    def __init__(
        self,
        client: Client,
        http: HttpClient,
        trust: Callable[[], Trust],
        node: str,
        store: Store,
        names_of: Callable[[str], Iterable[str]],
    ) -> None:
        self._client = client
        self._http = http
        self._trust = trust
        self._node = node
        self._store = store
        self._names_of = names_of

    async def fetch(self, reference: str) -> bool:
        """Whether another node had it and it is here now. No failure of another node is ours. What is asked for by its
        digest comes from a registry: only there it says what it is."""
        if "@" in reference:
            return False
        try:
            nodes = (await self._client.list("v1/nodes")).items
        except Failure as failure:
            log.debug("cannot ask other nodes for %s: %s", reference, failure)
            return False
        peers = peers_of(nodes, self._node, set(self._names_of(reference)))
        found = await asyncio.gather(*(self._find(peer, reference) for peer in peers))
        offers = [(image, peer) for image, peer in zip(found, peers, strict=True) if image is not None]
        for image, peer in sorted(offers, key=lambda offer: -offer[0].made_at):
            try:
                await self._take(peer, image, reference)
            except BoxshipError as error:
                log.warning("cannot have the image %s from node %s: %s", reference, peer.name, error)
                continue
            log.info("had the image %s from node %s", reference, peer.name)
            return True
        return False

    async def _find(self, peer: Peer, reference: str) -> SharedImage | None:
        try:
            async with (
                asyncio.timeout(FIND_SECONDS),
                self._http.request("GET", _url(peer, "find", reference), trust=self._of(peer)) as answer,
            ):
                data = await answer.read(ANSWER_BYTES)
                return msgspec.json.decode(data, type=SharedImage) if answer.status == 200 else None
        except (BoxshipError, TimeoutError, msgspec.MsgspecError):
            return None

    async def _take(self, peer: Peer, image: SharedImage, reference: str) -> None:
        async with self._http.request("GET", _url(peer, "archive", reference), trust=self._of(peer)) as answer:
            if answer.status != 200:
                raise Conflict(f"it answers {answer.status}")
            await self._store.take(answer.chunks(), image.id, reference)

    def _of(self, peer: Peer) -> Trust:
        return msgspec.structs.replace(self._trust(), server_name=peer.name)


def peers_of(nodes: Sequence[Object], own: str, names: set[str]) -> list[Peer]:
    """Whom to ask: those that tell of the image, then others by chance; nobody who is not ready."""
    found = [peer for node in nodes if (peer := peer_of(node, names)) is not None and peer.name != own]
    random.shuffle(found)
    return sorted(found, key=lambda peer: not peer.tells)[:ASKED]


def peer_of(node: Object, names: set[str]) -> Peer | None:
    """None for a node that is not ready or says no address."""
    status = node.get("status") or {}
    if not any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ()):
        return None
    place = (node["metadata"].get("annotations") or {}).get(ADDRESS, "")
    if not place:
        address = next((one["address"] for one in status.get("addresses") or () if one["type"] == "InternalIP"), "")
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or 0
        place = f"{address}:{port}" if address and port else ""
    told = {name for image in status.get("images") or () for name in image.get("names") or ()}
    return Peer(node["metadata"]["name"], f"https://{place}", bool(told & names)) if place else None


def _url(peer: Peer, verb: str, reference: str) -> str:
    return f"{peer.url}/images/{verb}?{urlencode({'reference': reference})}"
