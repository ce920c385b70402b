"""Which other nodes are asked for an image, and what comes of their answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.cluster.access import Listing
from boxship.cluster.node.peers import ASKED, TAKES, Answer, Peer, Peers, agreed, peers_of
from boxship.cluster.node.server.images import ImageDoor, SharedImage
from boxship.cluster.objects import Object
from boxship.errors import Conflict
from boxship.transport.client import Trust
from boxship.transport.exchange import Request


def node(name: str, *images: str, ready: str = "True", address: str = "192.0.2.1", agent: str = "") -> Object:
    return {
        "metadata": {"name": name, "annotations": {"boxship.io/agent-address": agent} if agent else {}},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "addresses": [{"type": "InternalIP", "address": address}] if address else [],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "images": [{"names": list(images)}],
        },
    }


def test_those_that_tell_of_it_come_first() -> None:
    nodes = [node("a"), node("b", "web:latest"), node("own", "web:latest"), node("c", ready="Unknown")]
    found = peers_of(nodes, "own", {"web:latest"})
    assert [(peer.name, peer.tells) for peer in found] == [("b", True), ("a", False)]
    assert found[0].url == "https://192.0.2.1:10250"


def test_an_agent_says_where_it_is_reached() -> None:
    (found,) = peers_of([node("a", agent="10.244.0.1:1234")], "own", set())
    assert found.url == "https://10.244.0.1:1234"
    assert peers_of([node("a", address="")], "own", set()) == []


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=80))
def test_never_too_many_nor_those_that_are_not_ready(kinds: list[tuple[bool, bool]]) -> None:
    nodes = [
        node(f"n{number}", *(["web"] if tells else []), ready="True" if ready else "False")
        for number, (tells, ready) in enumerate(kinds)
    ]
    found = peers_of(nodes, "n0", {"web"})
    ready = {f"n{number}" for number, (_, is_ready) in enumerate(kinds) if is_ready and number}
    assert {peer.name for peer in found} <= ready and len(found) == min(len(ready), ASKED)
    telling = {f"n{number}" for number, (tells, is_ready) in enumerate(kinds) if tells and is_ready and number}
    assert len([peer for peer in found if peer.tells]) == min(len(telling), ASKED)


class Given:
    """One image under one name."""

    async def find(self, reference: str) -> SharedImage | None:
        if reference == "theirs":
            return SharedImage(registry=True)
        return SharedImage("sha256:1", 5) if reference == "web" else None

    async def _bytes(self) -> AsyncIterator[bytes]:
        yield b"tar"

    def archive(self, id: str) -> AsyncIterator[bytes]:
        return self._bytes()


async def asked(path: str) -> Any:
    request = Request("GET", path, {}, None)  # type: ignore[arg-type]
    return await ImageDoor(Given()).answer(request, request.path.strip("/").split("/")[1:])


async def test_only_what_was_made_here_is_given() -> None:
    assert (await asked("/images/find?reference=web")).body == b'{"id":"sha256:1","made_at":5}'
    assert (await asked("/images/find?reference=other")).status == 404
    assert (await asked("/images/find")).status == 404
    assert (await asked("/images/find?reference=theirs")).body == b'{"registry":true}'
    assert (await asked("/images/archive?reference=theirs")).status == 404
    assert (await asked("/images/other?reference=web")).status == 404
    reply = await asked("/images/archive?reference=web")
    assert reply.status == 200 and [piece async for piece in reply.body] == [b"tar"]


class Nodes:
    """Nodes that answer at 192.0.2.NUMBER, the client that reaches them and who keeps what they give; what n1 gives
    never ends."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.open = 0
        self.most = 0

    async def list(self, resource: str, fields: str = "") -> Listing:
        name = fields.partition("=")[2]
        return Listing((node(name, address=f"192.0.2.{name[1:]}"),), "1")

    @contextlib.asynccontextmanager
    async def request(self, method: str, url: str, trust: Trust) -> AsyncIterator[Any]:
        async def read(limit: int) -> bytes:
            return msgspec.json.encode(SharedImage("sha256:2"))

        yield SimpleNamespace(status=200, read=read, chunks=lambda: url)

    async def take(self, archive: Any, image: SharedImage, reference: str, node: str) -> None:
        self.open += 1
        self.most = max(self.open, self.most)
        if node == "n1":
            await asyncio.Event().wait()
        self.given.append(node)
        self.open -= 1


async def test_a_node_that_never_ends_holds_up_no_other() -> None:
    nodes = Nodes()
    peers = Peers(nodes, nodes, Trust, "n0", nodes, lambda name: [name])  # type: ignore[arg-type]
    held = [asyncio.ensure_future(peers.renew(f"web:{number}", "n1", "sha256:1")) for number in range(20)]
    others = [asyncio.ensure_future(peers.renew("web:1", f"n{number}", "sha256:1")) for number in range(2, 12)]
    async with asyncio.timeout(20):
        assert all(await asyncio.gather(*others))
    assert len(nodes.given) == 10 and nodes.most <= TAKES
    for each in held:
        each.cancel()
    await asyncio.gather(*held, return_exceptions=True)


def said(node: str, id: str = "", origin: str = "", *, registry: bool = False) -> Answer:
    return Peer(node, f"https://{node}"), SharedImage(id, origin=origin, registry=registry)


def names(answers: list[Answer]) -> list[str]:
    return [peer.name for peer, _ in agreed("web:1", answers)]


def test_who_made_it_is_asked_first_and_a_registry_is_nobody() -> None:
    assert names([]) == []
    assert names([said("a", "1", "b"), said("b", "1")]) == ["b", "a"]
    assert names([said("a", registry=True), said("b", registry=True)]) == []


def test_a_copy_says_nothing_while_its_maker_speaks() -> None:
    assert names([said("a", "old", "b"), said("b", "new")]) == ["b"]
    assert names([said("a", "1", "gone"), said("c", "1", "gone")]) == ["a", "c"]


@pytest.mark.parametrize(
    "answers",
    [
        [said("a", "1"), said("evil", "2")],
        [said("a", "1", "gone"), said("evil", "2", "gone")],
        [said("a", registry=True), said("evil", "2")],
        [said("a", registry=True), said("evil", "2", "a")],
    ],
)
def test_where_nodes_do_not_agree_none_is_believed(answers: list[Answer]) -> None:
    with pytest.raises(Conflict, match="evil has 2"):
        names(answers)


ANSWERS = st.lists(
    st.builds(said, st.sampled_from("abcd"), st.sampled_from("12"), st.sampled_from(("", "a", "b", "z"))),
    max_size=5,
    unique_by=lambda one: one[0].name,
)


@given(ANSWERS, st.sampled_from("12"), st.sampled_from(("", "a", "b", "z")))
def test_one_node_alone_replaces_nothing(honest: list[Answer], id: str, origin: str) -> None:
    """Whatever a node says that was taken over: what the others agree on without it is had, or nothing is."""
    try:
        before = {image.id for _, image in agreed("web:1", honest)}
        after = {image.id for _, image in agreed("web:1", [*honest, said("evil", id, origin)])}
    except Conflict:
        return
    assert not before or after == before
