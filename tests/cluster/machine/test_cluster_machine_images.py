"""Pulls with several credentials, in order: the first that the registry takes."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from boxship.cluster.node import engine_images
from boxship.cluster.node.engine_images import EngineRuntimeImages, EngineSharedImages, paced
from boxship.cluster.node.pulled import Access, PullRecords, Secret
from boxship.cluster.node.runtime import Credentials
from boxship.cluster.node.server.images import SharedImage
from boxship.engine.values import Pulled
from boxship.errors import Denied, NotFound, Timeout, Unauthenticated, Unavailable
from boxship.spec.reference import parse

ID = "sha256:" + "1" * 64


class Registry:
    """Engine images whose registry knows one user; `answers` are the failures for the others, by name."""

    def __init__(self, good: str, **answers: Exception) -> None:
        self.good = good
        self.answers = answers
        self.asked: list[str] = []
        self.here: set[str] = set()

    async def pull(self, reference: str, credentials: Any = None) -> AsyncIterator[object]:
        name = credentials.username if credentials is not None else "nobody"
        self.asked.append(name)
        if name != self.good:
            raise self.answers.get(name, Unauthenticated(f"{name} is not known"))
        yield Pulled(parse(reference), ID, ID)

    async def resolve(self, reference: str) -> Any:
        if reference != ID and reference not in self.here:
            raise NotFound(f"no such image: {reference}")
        config = SimpleNamespace(config=SimpleNamespace(User="1000"))
        shown = {"id": ID, "references": ("web:1",), "digests": ("web@" + ID,), "size": 5, "tagged_at": 3}
        return SimpleNamespace(**shown, config=config)

    def used_at(self, identifier: str) -> int:
        return 7


def images(registry: Registry) -> EngineRuntimeImages:
    return EngineRuntimeImages(SimpleNamespace(images=registry))  # type: ignore[arg-type]


async def test_each_credential_is_tried_then_none() -> None:
    many = (Credentials("a", "x"), Credentials("b", "y"))
    registry = Registry("b", a=Denied("not allowed"))
    pulled = await images(registry).pull("other:1", many)
    found = pulled.image
    assert registry.asked == ["a", "b"] and pulled.credentials == many[1]
    assert (found.id, found.user, found.local, found.used_at, found.size) == (ID, "1000", False, 7, 5)
    registry = Registry("nobody")
    assert (await images(registry).pull("other:1", many)).credentials is None
    assert registry.asked == ["a", "b", "nobody"]


class OtherNodes:
    """Other nodes that have some images."""

    def __init__(self, registry: Registry, *names: str) -> None:
        self.registry, self.names = registry, names

    async def fetch(self, reference: str) -> str:
        self.registry.asked.append("nodes")
        self.registry.here |= {reference} & {*self.names}
        return "node1" if reference in self.names else ""


@pytest.mark.parametrize(
    ("name", "good", "asked"),
    [
        ("web:1", "nobody", ["nodes"]),  # built in the cluster, or nobody's
        ("other:1", "nobody", ["nodes", "nobody"]),
        ("shop.example/web:1", "nobody", ["nobody"]),  # who says a registry means it
        ("shop.example/web:1", "away", ["nobody", "nodes"]),
    ],
)
async def test_who_is_asked_first_follows_from_the_name(name: str, good: str, asked: list[str]) -> None:
    registry = Registry(good, nobody=Unavailable("no route"))
    nodes = OtherNodes(registry, "web:1", "shop.example/web:1")
    runtime = EngineRuntimeImages(SimpleNamespace(images=registry), nodes)  # type: ignore[arg-type]
    found = await runtime.pull(name, ())
    assert found.image.id == ID and registry.asked == asked
    assert found.node == ("node1" if asked[-1] == "nodes" else "")


async def test_what_a_registry_refuses_or_gave_comes_from_no_node() -> None:
    registry = Registry("a")
    runtime = EngineRuntimeImages(SimpleNamespace(images=registry), OtherNodes(registry, "shop.example/web:1", "web:1"))  # type: ignore[arg-type]
    with pytest.raises(Unauthenticated):
        await runtime.pull("shop.example/web:1", ())
    registry.here.add("web:1")
    with pytest.raises(Unauthenticated):
        await runtime.pull("web:1", ())
    assert registry.asked == ["nobody", "nobody"]


async def test_the_first_refusal_is_told() -> None:
    registry = Registry("c", a=Denied("a may not"), nobody=NotFound("hidden"))
    with pytest.raises(Denied, match="a may not"):
        await images(registry).pull("web:1", (Credentials("a"),))
    assert registry.asked == ["a", "nobody"]
    with pytest.raises(NotFound, match="hidden"):
        await images(registry).pull("web:1", ())


async def test_what_nodes_give_holds_up_no_registry() -> None:
    class Slow(OtherNodes):
        async def fetch(self, reference: str) -> str:
            await asyncio.Event().wait()
            return ""

    registry = Registry("nobody")
    runtime = EngineRuntimeImages(SimpleNamespace(images=registry), Slow(registry))  # type: ignore[arg-type]
    held = [asyncio.ensure_future(runtime.pull(f"web:{number}", ())) for number in range(20)]
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        assert (await runtime.pull("shop.example/web:1", ())).image.id == ID
    for each in held:
        each.cancel()
    await asyncio.gather(*held, return_exceptions=True)


async def chunks(*given: int, pause: float = 0.0) -> AsyncIterator[bytes]:
    for size in given:
        await asyncio.sleep(pause)
        yield bytes(size)


async def test_an_image_that_trickles_from_a_node_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_images, "PACE_SECONDS", 0.2)
    monkeypatch.setattr(engine_images, "PACE_BYTES", 100)
    with pytest.raises(Timeout, match="bytes came in"):
        async for _ in paced(chunks(*[1] * 1000, pause=0.01)):
            pass


async def test_what_comes_in_time_comes_whole_however_long_its_use_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_images, "PACE_SECONDS", 2.0)
    monkeypatch.setattr(engine_images, "PACE_BYTES", 100)
    clock = asyncio.get_running_loop().time
    seconds = [0.0]
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: clock() + seconds[0])
    came = 0
    async for chunk in paced(chunks(60, 60, 60, 60)):
        came += len(chunk)
        seconds[0] += 5.0
    assert came == 240


async def test_a_registry_that_is_away_is_not_asked_again() -> None:
    registry = Registry("b", a=Unavailable("no route"))
    with pytest.raises(Unavailable):
        await images(registry).pull("web:1", (Credentials("a"), Credentials("b")))
    assert registry.asked == ["a"]


async def test_what_is_not_there_is_none() -> None:
    assert await images(Registry("a")).image("other:1") is None


@pytest.mark.parametrize(
    ("name", "digests", "given"),
    [
        ("web:1", (), True),
        ("web:1", ("r.test/web@" + ID,), True),  # pushed under another name
        ("r.test/web:1", ("r.test/web@" + ID,), False),
        ("web:1", ("web@" + ID,), False),
        ("web:2", (), None),
        (ID, (), None),
        ("web@" + ID, (), None),
    ],
)
async def test_other_nodes_are_given_what_no_registry_has(
    name: str, digests: tuple[str, ...], given: bool | None
) -> None:
    shared = EngineSharedImages(Known(digests).engine, PullRecords())
    found = await shared.find(name)
    assert (None if found is None else not found.registry) == given
    assert await EngineSharedImages(Known(digests).engine, PullRecords(), shared=False).find(name) is None


async def test_other_nodes_are_told_of_a_copy_and_given_nothing_that_needs_a_secret() -> None:
    records = PullRecords()
    shared = EngineSharedImages(Known(()).engine, records)
    await records.done("docker.io/library/web:1", ID, Access(everyone=True), "node7")
    found = await shared.find("web:1")
    assert found is not None and found.origin == "node7" and found.size > 700 and found.unpacked == 900
    await records.done("docker.io/library/web:1", "sha256:" + "2" * 64, Access(secrets=(Secret("a", "b", "c", "d"),)))
    other = EngineSharedImages(Known((), "sha256:" + "2" * 64).engine, records)
    assert (await other.find("web:1")) == SharedImage(registry=True)


class Known:
    """An engine with one image of two names."""

    def __init__(self, digests: tuple[str, ...], id: str = ID) -> None:
        self.digests, self.id = digests, id
        self.engine: Any = SimpleNamespace(images=self)

    async def resolve(self, reference: str) -> Any:
        if reference == "docker.io/library/web:2":
            raise NotFound("no such image")
        return SimpleNamespace(
            id=self.id,
            references=("web:1", "r.test/web:1"),
            digests=self.digests,
            tagged_at=5,
            size=900,
            layers=(SimpleNamespace(blob_size=700),),
        )

    async def list(self) -> list[Any]:
        return []
