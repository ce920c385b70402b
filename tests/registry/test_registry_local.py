"""The engine's images under the registry's address: served beside what was pushed, hidden when deleted."""

from pathlib import Path

import pytest

from boxship.errors import NotFound
from boxship.registry.local import LocalManifest
from boxship.registry.refusals import ManifestUnknown, NameUnknown
from boxship.spec.image import MEDIA_MANIFEST
from boxship.store.memory import MemoryStore
from registry_kit import SOMEBODY, bench, digest_of, image


class Engine:
    """Names and manifests as an engine has them."""

    def __init__(self) -> None:
        self.names: dict[tuple[str, str], LocalManifest] = {}
        self.parts: dict[str, set[str]] = {}

    def give(self, repository: str, tag: str, data: bytes, since: int, *, index: str = "") -> None:
        self.names[repository, tag] = LocalManifest(digest_of(data), MEDIA_MANIFEST, since, index)

    def resolve(self, repository: str, reference: str) -> LocalManifest | None:
        for (name, tag), found in self.names.items():
            if name == repository and reference in (tag, found.digest):
                return found
        return None

    def holds(self, repository: str, digest: str) -> bool:
        return digest in self.parts.get(repository, ())

    def tags(self, repository: str) -> list[str]:
        return sorted(tag for name, tag in self.names if name == repository)

    def repositories(self) -> list[str]:
        return sorted({name for name, _ in self.names})


async def test_an_image_is_served_without_a_push(tmp_path: Path) -> None:
    engine = Engine()
    async with bench(tmp_path, local=engine) as made:
        reading = made.registry.reading
        async with made.garbage.lease() as lease:
            for data in (image([b"layer"]), b"{}", b"layer"):
                await lease.add(digest_of(data))
                await made.content.put(data)
            engine.give("app", "1", image([b"layer"]), 1)
            engine.parts["app"] = {digest_of(b"{}"), digest_of(b"layer")}
            for reference in ("1", digest_of(image([b"layer"]))):
                found = reading.find("app", reference)
                assert await reading.read(found) == image([b"layer"]) and found.media_type == MEDIA_MANIFEST
            assert reading.blob("app", digest_of(b"layer")) == 5
            assert reading.tags("app") == (["1"], False)
            assert reading.catalogue("", None, lambda name: True) == (["app"], False)
            with pytest.raises(NotFound):
                reading.blob("other", digest_of(b"layer"))
            with pytest.raises(ManifestUnknown):
                reading.find("app", "2")
            # the engine pushes to itself: nothing has to be there before
            await made.registry.pushing.accept("app", "1", MEDIA_MANIFEST, image([b"layer"]), SOMEBODY)
            # and others may mount what it serves
            assert await made.registry.pushing.mount("other", digest_of(b"layer"), "app", SOMEBODY)
        engine.names.clear()
        engine.parts.clear()
        assert made.has("app", "1")
        await made.registry.deleting.delete("app", "1", SOMEBODY)
        with pytest.raises(NameUnknown):
            reading.find("app", "1")


async def test_the_newer_one_counts(tmp_path: Path) -> None:
    engine = Engine()
    policy = '[[repository]]\nmatch = ["app"]\nimmutable = ["v*"]\n'
    async with bench(tmp_path, local=engine, policy=policy) as made:
        find = made.registry.reading.find
        await made.content.put(image())
        await made.push_image("app", "1", b"pushed")
        await made.push_image("app", "v1", b"pushed")
        pushed = digest_of(image([b"pushed"]))
        engine.give("app", "1", image(), made.clock.now - 1)
        assert find("app", "1").digest == pushed
        engine.give("app", "1", image(), made.clock.now + 1)
        assert find("app", "1").digest == digest_of(image())
        engine.give("app", "v1", image(), made.clock.now + 1)
        assert find("app", "v1").digest == pushed  # it is immutable
        engine.give("app", "1", image(), made.clock.now + 1, index=pushed)
        assert find("app", "1").digest == pushed  # the engine has pulled it from here
        assert made.registry.reading.tags("app") == (["1", "v1"], False)


async def test_what_was_deleted_here_is_not_shown_again(tmp_path: Path) -> None:
    engine, store = Engine(), MemoryStore()
    async with bench(tmp_path, local=engine, store=store) as made:
        await made.content.put(image())
        await made.content.put(image([b"new"]))
        for tag in ("1", "2", "3"):
            engine.give("app", tag, image(), 1)
        await made.registry.deleting.delete("app", "1", SOMEBODY)
        assert not made.has("app", "1") and made.has("app", "2")
        assert made.registry.reading.tags("app")[0] == ["2", "3"]
        with pytest.raises(ManifestUnknown):
            await made.registry.deleting.delete("app", "1", SOMEBODY)
        await made.registry.deleting.delete("app", digest_of(image()), SOMEBODY)
        assert not made.has("app", "2") and not made.has("app", digest_of(image()))
        with pytest.raises(NameUnknown):
            made.registry.reading.tags("app")
        assert made.registry.reading.catalogue("", None, lambda name: True) == ([], False)
        await made.registry.expire()
        assert not made.has("app", "1")
    async with bench(tmp_path, local=engine, store=store) as made:
        await made.content.put(image([b"new"]))
        assert not made.has("app", "1")
        engine.give("app", "1", image([b"new"]), 2)  # built anew
        assert made.has("app", "1")
        await made.push_image("app", "2", b"pushed")  # pushed by somebody else
        assert made.has("app", "2")
        engine.names.clear()
        await made.registry.deleting.delete("app", "2", SOMEBODY)
        await made.registry.expire()
        assert len(made.registry.repositories) == 0 and not (await store.list("registry/")).entries
