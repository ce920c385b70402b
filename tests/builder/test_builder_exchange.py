"""Caches that go from one machine to another: the second one builds without doing any work."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from builder_kit import Workplace, of_kind

from boxship.builder.cache_ends import RegistryCache
from boxship.builder.model import CacheEnd, Noticed, Output, StepFinished
from boxship.errors import Denied, Invalid, Unsupported
from boxship.images.remote.model import Document
from boxship.images.trust import Gate, Trust
from boxship.spec import reference as references
from boxship.spec.image import MEDIA_MANIFEST, Platform
from boxship.spec.reference import Reference
from boxship.store.memory import MemoryStore

TEXT = """FROM base AS tools
RUN tools
FROM base
COPY hello /hello
COPY --from=tools /ran /tools/
RUN last
"""


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[Workplace]:
    """A second machine with the same base image."""
    root = tmp_path / "other"
    root.mkdir()
    store = MemoryStore()
    made = await Workplace(root, store).open()
    yield made
    await made.close()
    await store.close()


async def move_image(workplace: Workplace, other: Workplace, name: str) -> None:
    async for _ in other.images.load(workplace.images.save([name])):
        pass


async def both(workplace: Workplace, other: Workplace) -> None:
    """The same base image and the same context on both."""
    await move_image(workplace, other, "base")
    for place in (workplace, other):
        place.write(hello="hi\n")


def local(way: str, folder: Path, **more: str) -> CacheEnd:
    return CacheEnd(kind="local", attributes={way: str(folder), **more})


@pytest.mark.parametrize("compression", ["uncompressed", "gzip"])
async def test_a_local_cache_of_all_steps_saves_all_work(
    workplace: Workplace, other: Workplace, tmp_path: Path, compression: str
) -> None:
    await both(workplace, other)
    target = local("dest", tmp_path / "cache", mode="max", compression=compression)
    first = await workplace.build(TEXT, cache_to=(target,))
    second = await other.build(TEXT, cache_from=(local("src", tmp_path / "cache"),))
    assert other.executor.calls == []
    assert second.image == first.image
    assert second.cached == second.steps
    assert (await other.build(TEXT)).image == first.image  # now it is in the cache of its own


async def test_a_minimal_cache_has_only_the_steps_of_the_result(
    workplace: Workplace, other: Workplace, tmp_path: Path
) -> None:
    await both(workplace, other)
    await workplace.build(TEXT, cache_to=(local("dest", tmp_path / "cache"),))
    await other.build(TEXT, cache_from=(local("src", tmp_path / "cache"),))
    assert other.executor.calls == ["run tools"]


@pytest.mark.parametrize("way", ["argument", "option"])
async def test_an_image_carries_its_cache(workplace: Workplace, other: Workplace, way: str) -> None:
    await both(workplace, other)
    text = TEXT.replace("COPY --from=tools /ran /tools/\n", "")
    if way == "argument":
        first = await workplace.build(text, tags=("app",), arguments={"BUILDKIT_INLINE_CACHE": "1"})
    else:
        first = await workplace.build(text, tags=("app",), cache_to=(CacheEnd(kind="inline"),))
    await move_image(workplace, other, "app")
    source = CacheEnd(kind="registry", attributes={"ref": "app"})
    second = await other.build(text, cache_from=(source,), cache_to=(CacheEnd(kind="inline"),))
    assert other.executor.calls == []
    assert second.image == first.image


async def test_the_policy_governs_caches_of_images_that_are_here(
    workplace: Workplace, other: Workplace, tmp_path: Path
) -> None:
    await both(workplace, other)
    text = TEXT.replace("COPY --from=tools /ran /tools/\n", "")
    await workplace.build(text, tags=("prod/app",), cache_to=(CacheEnd(kind="inline"),))
    await move_image(workplace, other, "prod/app")
    (tmp_path / "policy").write_text('[[rule]]\nrepository = "docker.io/prod/*"\naction = "reject"\n')
    other.images.gate = Gate(other.images.catalog, other.images.signatures, Trust(tmp_path / "policy"))
    source = CacheEnd(kind="registry", attributes={"ref": "prod/app"})
    events = await other.events(text, cache_from=(source,))
    assert "run last" in other.executor.calls
    assert any("refused by the rule" in event.finding.message for event in of_kind(events, Noticed))


class Elsewhere:
    """A registry that is asked for one manifest, and is its only repository."""

    async def repositories(self, reference: Reference, who: object) -> list["Elsewhere"]:
        return [self]

    async def first(self, repositories: list["Elsewhere"], ask: Callable[["Elsewhere"], Awaitable[object]]) -> object:
        return await ask(repositories[0])

    async def manifest(self, wanted: str) -> Document:
        return Document("sha256:" + "1" * 64, MEDIA_MANIFEST, b"{}")


async def test_the_policy_governs_caches_of_registries() -> None:
    asked = []

    async def refuse(reference: Reference, digest: str, repositories: object) -> object:
        asked.append((reference.name, digest))
        raise Denied("refused by the rule")

    place: Any = Elsewhere()
    reference = references.parse("r.io/prod/app:cache")
    with pytest.raises(Denied):
        await RegistryCache(place, place, reference, None, Platform("amd64", "linux"), refuse).read()
    assert asked == [("r.io/prod/app", "sha256:" + "1" * 64)]


async def test_an_image_without_a_cache_brings_nothing(workplace: Workplace, other: Workplace) -> None:
    await both(workplace, other)
    await workplace.build(TEXT, tags=("app",))
    await move_image(workplace, other, "app")
    await other.build(TEXT, cache_from=(CacheEnd(kind="registry", attributes={"ref": "app"}),))
    assert "run last" in other.executor.calls


async def test_a_cache_that_is_not_there_is_a_warning(workplace: Workplace, tmp_path: Path) -> None:
    events = await workplace.events("FROM base\nRUN a\n", cache_from=(local("src", tmp_path / "none"),))
    (warning,) = of_kind(events, Noticed)
    assert "cannot import the cache" in warning.finding.message
    assert workplace.executor.calls == ["run a"]


async def test_a_damaged_layer_of_a_cache_is_made_again(workplace: Workplace, other: Workplace, tmp_path: Path) -> None:
    await both(workplace, other)
    await workplace.build(TEXT, cache_to=(local("dest", tmp_path / "cache", mode="max"),))
    for path in (tmp_path / "cache" / "blobs" / "sha256").iterdir():
        if path.stat().st_size >= 10240:  # a tar
            data = bytearray(path.read_bytes())
            data[600] ^= 1
            path.write_bytes(data)
    events = await other.events(TEXT, cache_from=(local("src", tmp_path / "cache"),))
    assert "run last" in other.executor.calls
    assert not [event.error for event in of_kind(events, StepFinished) if event.error]


async def test_a_layer_of_a_cache_that_unpacks_to_too_much_is_made_again(
    workplace: Workplace, other: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await both(workplace, other)
    target = local("dest", tmp_path / "cache", mode="max", compression="gzip")
    first = await workplace.build(TEXT, cache_to=(target,))
    monkeypatch.setattr("boxship.images.unpack.LARGEST_RATIO", 0)
    monkeypatch.setattr("boxship.images.unpack.SMALLEST_LIMIT", 1)  # byte
    second = await other.build(TEXT, cache_from=(local("src", tmp_path / "cache"),))
    assert "run tools" in other.executor.calls and second.steps == first.steps


async def test_wrong_caches_are_refused_before_anything_is_built(workplace: Workplace) -> None:
    wrong = (
        ({"cache_from": (CacheEnd(kind="s3"),)}, Unsupported),
        ({"cache_to": (CacheEnd(kind="registry", attributes={"ref": "x", "mode": "most"}),)}, Invalid),
        ({"cache_to": (CacheEnd(kind="local", attributes={"dest": "/x", "speed": "high"}),)}, Unsupported),
        ({"cache_to": (CacheEnd(kind="local"),)}, Invalid),
        ({"cache_to": (CacheEnd(kind="local", attributes={"dest": "/x", "ignore-error": "perhaps"}),)}, Invalid),
        ({"outputs": (Output(kind="magic"),)}, Unsupported),
        ({"outputs": (Output(kind="image", attributes={"colour": "red"}),)}, Unsupported),
    )
    for options, kind in wrong:
        with pytest.raises(kind):
            await workplace.build("FROM base\nRUN a\n", **options)
    assert workplace.executor.calls == []


async def test_a_cache_that_cannot_be_written_fails_the_build_unless_that_is_said(workplace: Workplace) -> None:
    text = "FROM base\nRUN a\n"
    nowhere = "/proc/none/cache"
    with pytest.raises(Invalid, match="cannot write cache /proc/none/cache"):
        await workplace.build(text, cache_to=(CacheEnd(kind="local", attributes={"dest": nowhere}),))
    ignoring = CacheEnd(kind="local", attributes={"dest": nowhere, "ignore-error": "true"})
    events = await workplace.events(text, cache_to=(ignoring,))
    (noticed,) = [event.finding.message for event in of_kind(events, Noticed) if not event.finding.rule]
    assert noticed.startswith("cannot export the cache /proc/none/cache: ")
