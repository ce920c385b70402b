"""Random interleavings of pushes, deletions, mounts, time and restarts: what can be reached can be read, the rest is
gone from the disk."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from boxship.errors import BoxshipError
from boxship.registry import Actor
from boxship.store.memory import MemoryStore
from registry_kit import SOMEBODY, Bench, bench, digest_of, image, index

NAMES = ("a", "b/c")
TAGS = ("one", "two", "three")
LAYERS = (b"red", b"green", b"blue")
ACTORS = (SOMEBODY, Actor("bob", "192.0.2.9", "other"))

names, tags, actors = some.sampled_from(NAMES), some.sampled_from(TAGS), some.sampled_from(ACTORS)
layers = some.lists(some.sampled_from(LAYERS), unique=True, max_size=2).map(tuple)
STEP = some.one_of(
    some.tuples(some.just("push"), names, some.sampled_from(("", *TAGS)), layers, actors),
    some.tuples(some.just("index"), names, tags, some.lists(layers, min_size=1, max_size=2), actors),
    some.tuples(some.just("sign"), names, layers, some.sampled_from(("", *TAGS)), actors),
    some.tuples(some.just("blob"), names, some.sampled_from(LAYERS), actors),
    some.tuples(some.just("look"), names, some.sampled_from(LAYERS), actors),
    some.tuples(some.just("mount"), names, names, some.sampled_from(LAYERS), actors),
    some.tuples(some.just("delete"), names, tags, actors),
    some.tuples(some.just("delete digest"), names, layers, actors),
    some.tuples(some.just("delete blob"), names, some.sampled_from(LAYERS), actors),
    some.tuples(some.just("time"), some.sampled_from((60.0, 700.0, 4000.0, 100_000.0))),
)


async def carry_out(made: Bench, step: tuple[Any, ...]) -> None:
    pushing, deleting, reading = made.registry.pushing, made.registry.deleting, made.registry.reading
    match step:
        case ("push", name, tag, parts, actor):
            await made.push_image(name, tag, *parts, actor=actor)
        case ("index", name, tag, children, actor):
            for parts in children:
                await made.push_image(name, "", *parts, actor=actor)
            await made.push(name, tag, index(*(image(parts) for parts in dict.fromkeys(children))), actor)
        case ("sign", name, parts, tag, actor):
            await made.push_blob(name, b"{}", actor)
            await made.push(name, tag, image(subject=digest_of(image(parts)), kind="x/y"), actor)
        case ("blob", name, data, actor):
            await made.push_blob(name, data, actor)
        case ("look", name, data, actor):
            reading.blob(name, digest_of(data), actor)
        case ("mount", name, source, data, actor):
            await pushing.mount(name, digest_of(data), source, actor)
        case ("delete", name, tag, actor):
            await deleting.delete(name, tag, actor)
        case ("delete digest", name, parts, actor):
            await deleting.delete(name, digest_of(image(parts)), actor)
        case ("delete blob", name, data, actor):
            await deleting.delete_blob(name, digest_of(data))
        case ("time", seconds):
            made.clock.pass_seconds(seconds)
            await made.registry.expire()


async def check(made: Bench) -> None:
    """Each manifest is whole and can be read; nothing else lies on the disk."""
    wanted: set[str] = set()
    for repository in made.registry.repositories:
        for digest, manifest in repository.manifests.items():
            data = await made.content.read(digest, 1 << 20)
            assert digest_of(data) == digest
            for part in manifest.parts:
                assert made.registry.reading.blob(repository.name, part.digest) == part.size
                wanted.add(part.digest)
            assert all(child in repository.manifests for child in manifest.children)
            wanted.add(digest)
        assert all(tag.digest in repository.manifests for tag in repository.tags.values())
        wanted |= repository.fresh.keys() | set(repository.touches.digests())
        counted = {part.digest: part.size for manifest in repository.manifests.values() for part in manifest.parts}
        counted |= {digest: manifest.size for digest, manifest in repository.manifests.items()}
        counted |= {digest: fresh.size for digest, fresh in repository.fresh.items()}
        assert repository.size == sum(counted.values())
    assert await made.blobs() == wanted


async def play(root: Path, rounds: list[list[list[tuple[Any, ...]]]]) -> None:
    """Rounds end with a restart; the lists of a round run at the same time."""
    store = MemoryStore()
    for together in rounds:
        async with bench(root, store=store) as made:

            async def one(steps: list[tuple[Any, ...]], made: Bench = made) -> None:
                for step in steps:
                    try:
                        await carry_out(made, step)
                    except BoxshipError:
                        continue  # refused: that is an answer

            await asyncio.gather(*(one(steps) for steps in together))
            await check(made)
    async with bench(root, store=store) as made:
        await check(made)
        made.clock.pass_seconds(10**6)
        await made.registry.expire()
        for repository in made.registry.repositories:
            while repository.manifests:
                free = [digest for digest in repository.manifests if not repository.parents(digest)]
                await made.registry.deleting.delete(repository.name, free[0], SOMEBODY)
        assert await made.blobs() == set() and len(made.registry.repositories) == 0
        assert not made.garbage.claims and not made.garbage.leases


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(some.lists(some.lists(some.lists(STEP, max_size=12), min_size=1, max_size=4), min_size=1, max_size=3))
def test_reachable_is_readable_and_the_rest_is_gone(rounds: list[list[list[tuple[Any, ...]]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder), rounds))
