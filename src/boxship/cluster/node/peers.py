"""Images from other nodes: what was built on one node runs on all, with nothing pushed.

Whom is trusted for what: a node for the images that it built or was given by hand, and only where the name means
nothing here yet. Nodes that tell of the image in their status are asked, then some of the others, all at once. Where
they do not agree on what the name stands for, none is believed: so one node that was taken over cannot put its image in
the place of another's, nor in that of one that came from a registry. A copy follows the node that it came from, and no
other. What comes must be the image that was announced, by its digest, and no larger than that; it comes in time, and
holds up nothing of registries.
"""

import asyncio
import logging
import random
import weakref
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
TAKES, TAKES_OF_NODE = 5, 2  # at once, and from one node: none holds up what others give
NAMED = 4  # nodes that a message names
ADDRESS = "boxship.io/agent-address"


class Peer(msgspec.Struct, frozen=True):
    """Another node, as its Node says how its agent is reached."""

    name: str
    url: str
    tells: bool = False


Answer = tuple[Peer, SharedImage]


class Store(Protocol):
    """Where images come to."""

    async def take(self, archive: AsyncIterator[bytes], image: SharedImage, reference: str, node: str) -> None:
        """Keep the image under that name. Raises Conflict where the archive has another one or is larger, Exhausted
        where there is no room for it."""


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
        self._turns = asyncio.Semaphore(TAKES)
        self._turns_of: weakref.WeakValueDictionary[str, asyncio.Semaphore] = weakref.WeakValueDictionary()

    async def fetch(self, reference: str) -> str:
        """The node that had it, and it is here now; "" where no node has. What is asked for by its digest comes from a
        registry: only there it says what it is. Raises Conflict where nodes do not agree."""
        if "@" in reference:
            return ""
        failure: BoxshipError | None = None
        for peer, image in agreed(reference, await self._answers(reference)):
            try:
                await self._take(peer, image, reference)
            except BoxshipError as error:
                log.warning("cannot have the image %s from node %s: %s", reference, peer.name, error)
                failure = failure or Conflict(f"cannot have image {reference} from node {peer.name}: {error}")
                continue
            log.info("had the image %s from node %s", reference, peer.name)
            return peer.name
        if failure is not None:
            raise failure
        return ""

    async def renew(self, reference: str, node: str, id: str) -> bool:
        """Whether the node that gave an image has made another one under that name; then that one is here."""
        for peer, image in await self._answers(reference, only=node):
            if not image.registry and not image.origin and image.id != id:
                await self._take(peer, image, reference)
                return True
        return False

    async def has(self, reference: str, node: str, id: str) -> bool:
        """Whether that node made the image and has it still."""
        answers = await self._answers(reference, only=node)
        return any(image.id == id and not image.origin and not image.registry for _, image in answers)

    async def _answers(self, reference: str, only: str = "") -> list[Answer]:
        """No failure of another node is ours."""
        try:
            nodes = (await self._client.list("v1/nodes", fields=f"metadata.name={only}" if only else "")).items
        except Failure as failure:
            log.debug("cannot ask other nodes for %s: %s", reference, failure)
            return []
        peers = peers_of(nodes, self._node, set(self._names_of(reference)))
        found = await asyncio.gather(*(self._find(peer, reference) for peer in peers))
        return [(peer, image) for image, peer in zip(found, peers, strict=True) if image is not None]

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
        turns_of_node = self._turns_of.setdefault(peer.name, asyncio.Semaphore(TAKES_OF_NODE))
        async with (
            turns_of_node,
            self._turns,
            self._http.request("GET", _url(peer, "archive", reference), trust=self._of(peer)) as answer,
        ):
            if answer.status != 200:
                raise Conflict(f"it answers {answer.status}")
            await self._store.take(answer.chunks(), image, reference, peer.name)

    def _of(self, peer: Peer) -> Trust:
        return msgspec.structs.replace(self._trust(), server_name=peer.name)


def agreed(reference: str, answers: Sequence[Answer]) -> Sequence[Answer]:
    """Who may be asked for it, who made it first; nobody where it is a registry's. Raises Conflict where they say
    different things: a copy speaks for the node that it came from only while that one is silent."""
    makers = {peer.name for peer, image in answers if not image.registry and not image.origin}
    heard = [(peer, image) for peer, image in answers if not image.registry and image.origin not in makers]
    if not heard:
        return ()
    said = {(image.id, image.registry) for _, image in heard}
    registry = [peer.name for peer, image in answers if image.registry]
    if registry or len(said) > 1:
        told = [f"{peer.name} has {image.id}" for peer, image in heard]
        told += [f"{name} has it from a registry" for name in registry]
        more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
        raise Conflict(
            f"nodes do not agree on what image {reference} is: {', '.join(sorted(told)[:NAMED])}{more}; "
            "remove it where it is not meant, or push it to a registry"
        )
    ((id, _),) = said
    offers = [(peer, image) for peer, image in answers if image.id == id and not image.registry]
    return sorted(offers, key=lambda offer: (bool(offer[1].origin), not offer[0].tells))


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
