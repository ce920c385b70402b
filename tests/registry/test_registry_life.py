"""What lives and what goes: deletions beside pushes, what only an index or a subject reaches, times, retention."""

import asyncio
from pathlib import Path

import pytest

from boxship.registry import Actor, Settings
from boxship.store.memory import MemoryStore
from registry_kit import SOMEBODY, Bench, bench, digest_of, image, index, pieces

OTHER = Actor("bob", "192.0.2.2", "other")


@pytest.fixture
async def made(tmp_path):  # type: ignore[no-untyped-def]
    async with bench(tmp_path) as one:
        yield one


async def delete(made: Bench, name: str, reference: str, actor: Actor = OTHER) -> None:
    await made.registry.deleting.delete(name, reference, actor)


async def test_the_last_tag_takes_everything_along(made: Bench) -> None:
    await made.push_image("a", "one", b"layer")
    await made.push_image("a", "two", b"layer")
    await made.push_image("b", "one", b"other")
    await delete(made, "a", "one")
    assert made.has("a", "two") and digest_of(b"layer") in await made.blobs()
    await delete(made, "a", "two")
    assert await made.blobs() == {digest_of(b"{}"), digest_of(b"other"), digest_of(image([b"other"]))}
    assert made.registry.repositories.find("a") is None
    await delete(made, "b", digest_of(image([b"other"])))
    assert await made.blobs() == set() and len(made.registry.repositories) == 0
    assert not (await made.store.list("registry/")).entries


async def test_a_digest_takes_its_tags_along(made: Bench) -> None:
    digest = await made.push_image("a", "one", b"layer")
    await made.push_image("a", "two", b"layer")
    deleted = await made.registry.deleting.delete("a", digest, OTHER)
    assert deleted.tags == ("one", "two") and not made.has("a", "one")
    assert await made.blobs() == set()


async def test_ten_thousand_tags_go_at_once(made: Bench) -> None:
    await made.push_blob("a", b"{}")
    for number in range(10_000):
        await made.push("a", f"t{number}", image(annotations={"n": str(number % 7)}))
    assert made.registry.reading.tags("a", "t9998", 5) == (["t9999"], False)
    began = asyncio.get_running_loop().time()
    for number in range(7):
        await delete(made, "a", digest_of(image(annotations={"n": str(number)})))
    assert await made.blobs() == set()
    assert asyncio.get_running_loop().time() - began < 5


async def test_an_index_keeps_its_manifests_and_takes_them_along(made: Bench) -> None:
    for layer in (b"amd64", b"arm64", b"shared"):
        await made.push_image("a", "arm" if layer == b"arm64" else "", layer)
    first = index(image([b"amd64"]), image([b"arm64"]), image([b"shared"]))
    second = index(image([b"shared"]))
    await made.push("a", "all", first)
    await made.push("a", "few", second)
    await delete(made, "a", "all")
    assert made.has("a", "arm") and made.has("a", digest_of(image([b"shared"])))
    assert not made.has("a", digest_of(image([b"amd64"]))) and digest_of(b"amd64") not in await made.blobs()
    await delete(made, "a", "few")
    await delete(made, "a", "arm")
    assert await made.blobs() == set()


async def test_a_manifest_under_an_index_stays_without_its_tag(made: Bench) -> None:
    digest = await made.push_image("a", "one", b"layer")
    await made.push("a", "all", index(image([b"layer"])))
    await delete(made, "a", "one")
    assert made.has("a", digest)


async def test_referrers_go_with_what_they_refer_to(made: Bench) -> None:
    subject = await made.push_image("a", "one", b"layer")
    signature = image(subject=subject, kind="x/y")
    note = image(subject=digest_of(signature), kind="x/z")
    tagged = image(subject=subject, kind="x/t")
    await made.push("a", "", signature)
    await made.push("a", "", note)
    await made.push("a", "kept", tagged)
    early = image(subject=digest_of(b"later"), kind="x/y")
    await made.push("a", "", early)
    await delete(made, "a", "one")
    assert await made.blobs() == {digest_of(b"{}"), digest_of(tagged), digest_of(early)}
    await delete(made, "a", "kept")
    await delete(made, "a", digest_of(early))
    assert await made.blobs() == set()


async def test_a_blob_in_two_repositories(made: Bench) -> None:
    await made.push_image("a", "one", b"layer")
    await made.registry.pushing.mount("b", digest_of(b"layer"), "a", SOMEBODY)
    await made.registry.pushing.mount("b", digest_of(b"{}"), "a", SOMEBODY)
    await delete(made, "a", "one")
    await made.push("b", "one", image([b"layer"]))
    assert made.registry.reading.blob("b", digest_of(b"layer")) == 5


async def test_deleting_does_not_break_a_push_that_found_its_blobs(made: Bench) -> None:
    await made.push_image("a", "one", b"layer", actor=OTHER)
    for blob in (b"{}", b"layer"):  # HEAD, as clients do before a push
        made.registry.reading.blob("a", digest_of(blob), SOMEBODY)
    await delete(made, "a", "one")
    assert digest_of(b"layer") in await made.blobs()
    await made.push("a", "two", image([b"layer"]))
    await delete(made, "a", "two")
    assert await made.blobs() == set()


async def test_who_looked_and_then_deletes_did_not_push(made: Bench) -> None:
    await made.push_image("a", "one", b"layer")
    made.registry.reading.blob("a", digest_of(b"layer"), SOMEBODY)
    await delete(made, "a", "one", SOMEBODY)
    assert await made.blobs() == set()


async def test_two_pushes_of_one_blob(made: Bench) -> None:
    for actor in (SOMEBODY, OTHER):
        for blob in (b"{}", b"layer"):
            await made.push_blob("a", blob, actor)
    await made.push("a", "one", image([b"layer"]), SOMEBODY)
    await delete(made, "a", "one", SOMEBODY)
    await made.push("a", "two", image([b"layer"]), OTHER)
    assert made.has("a", "two")


async def test_fresh_blobs_end_with_time(made: Bench) -> None:
    await made.push_blob("a", b"loose")
    made.clock.pass_seconds(made.registry.settings.fresh_seconds - 1)
    await made.registry.expire()
    assert await made.blobs()
    await made.push_blob("a", b"more")  # the push goes on: what came before stays
    made.clock.pass_seconds(2)
    await made.registry.expire()
    assert len(await made.blobs()) == 2
    made.clock.pass_seconds(made.registry.settings.fresh_seconds)
    await made.registry.expire()
    assert await made.blobs() == set() and len(made.registry.repositories) == 0


async def test_touches_end_with_time(made: Bench) -> None:
    await made.push_image("a", "one", b"layer")
    made.registry.reading.blob("a", digest_of(b"layer"), SOMEBODY)
    await delete(made, "a", "one")
    assert digest_of(b"layer") in await made.blobs()
    made.clock.pass_seconds(made.registry.settings.touch_seconds + 1)
    await made.registry.expire()
    assert await made.blobs() == set()


async def test_a_manifest_whose_tag_was_taken_stays_for_a_while(made: Bench) -> None:
    old = await made.push_image("a", "latest", b"old")
    await made.push_image("a", "latest", b"new")
    assert made.has("a", old)
    made.clock.pass_seconds(made.registry.settings.lapsed_seconds - 1)
    await made.registry.expire()
    assert made.has("a", old)
    made.clock.pass_seconds(2)
    await made.registry.expire()
    assert not made.has("a", old) and digest_of(b"old") not in await made.blobs()
    assert made.has("a", "latest")


async def test_a_manifest_that_gets_a_tag_again_is_not_over(made: Bench) -> None:
    old = await made.push_image("a", "latest", b"old")
    await made.push_image("a", "latest", b"new")
    await made.push_image("a", "again", b"old")
    made.clock.pass_seconds(made.registry.settings.lapsed_seconds * 2)
    await made.registry.expire()
    assert made.has("a", old)


async def test_retention(tmp_path: Path) -> None:
    policy = """
    [[repository]]
    match = ["a"]
    keep-tags = 2
    protected = ["stable"]
    [[repository]]
    match = ["b"]
    keep-for = "1h"
    """
    async with bench(tmp_path, policy=policy) as made:
        for tag in ("stable", "z", "y", "x", "w"):
            await made.push_image("a", tag, tag.encode())
            await made.push_image("b", tag, tag.encode())
            made.clock.pass_seconds(60)
        await made.push_image("a", "z", b"z")  # pushed once more: new again
        await made.registry.expire()
        assert made.registry.reading.tags("a")[0] == ["stable", "w", "z"]
        assert len(made.registry.reading.tags("b")[0]) == 5
        made.clock.pass_seconds(3600 - 3 * 60 + 1)
        await made.registry.expire()
        assert made.registry.reading.tags("b")[0] == ["w", "x"]
        assert not made.has("b", digest_of(image([b"z"])))
        assert digest_of(b"y") not in await made.blobs() and digest_of(b"z") in await made.blobs()


async def test_everything_is_there_after_a_crash(tmp_path: Path) -> None:
    store = MemoryStore()
    async with bench(tmp_path, store=store) as before:
        await before.push_image("a", "one", b"layer")
        await before.push_image("a", "", b"part")
        await before.push("a", "all", index(image([b"part"])))
        await before.push_blob("a", b"fresh")
        await before.push("a", "", image(subject=digest_of(b"?"), kind="x"))
        upload = await before.registry.pushing.start_upload("a")
        await before.registry.pushing.append("a", upload, pieces(b"half"), None, None)
        blobs, size = await before.blobs(), before.registry.repositories.need("a").size
    async with bench(tmp_path, store=store) as after:
        assert await after.blobs() == blobs and after.registry.repositories.need("a").size == size
        assert after.registry.reading.tags("a") == (["all", "one"], False)
        assert len(after.registry.reading.referrers("a", digest_of(b"?"))) == 1
        assert after.registry.pushing.uploads.size("a", upload) == 4
        await after.registry.pushing.finish_upload("a", upload, digest_of(b"halfdone"), pieces(b"done"), SOMEBODY)
        await after.push("a", "later", image([b"fresh", b"halfdone"]))
        for tag in ("one", "all", "later"):
            await after.registry.deleting.delete("a", tag, SOMEBODY)
        await after.registry.deleting.delete("a", digest_of(image(subject=digest_of(b"?"), kind="x")), SOMEBODY)
        assert await after.blobs() == set()


async def test_what_no_record_names_goes_at_the_start(tmp_path: Path) -> None:
    store = MemoryStore()
    async with bench(tmp_path, store=store) as before:
        await before.content.put(b"left over")
    async with bench(tmp_path, store=store) as after:
        assert await after.blobs() == set()


async def test_the_task_goes_on(tmp_path: Path) -> None:
    async with bench(tmp_path, settings=Settings(look_seconds=0.001)) as made:
        running = asyncio.ensure_future(made.registry.run())
        await made.push_blob("a", b"loose")
        made.clock.pass_seconds(2 * made.registry.settings.fresh_seconds)
        async with asyncio.timeout(20):
            while await made.content.list():
                await asyncio.sleep(0.001)
        running.cancel()
