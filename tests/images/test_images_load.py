"""Loading archives of every kind, whole and broken."""

import asyncio
import bz2
import errno
import gzip
import json
import lzma
import os
import tarfile
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from images_kit import Layout, Room, chunks, closing, config, docker_archive, layer, sha, simple, tar

from boxship.errors import Canceled, Conflict, Exhausted, Invalid, NotFound
from boxship.images import LayerProgress, Loaded
from boxship.spec import digest as digests
from boxship.spec import platform as platforms


async def test_docker_archive(room: Room) -> None:
    data, identifier = simple("localhost:5000/app:1")
    assert await room.load(data) == [Loaded(identifier, ("localhost:5000/app:1",))]
    image = await room.images.resolve("localhost:5000/app:1")
    assert image.id == identifier and image.config.config is not None and image.config.config.Cmd == ("sh",)
    assert image.size == sum([await room.layers.layer_usage(x) for x in digests.chain_ids(image.diff_ids)])
    assert image.chain_id == digests.chain_ids(image.diff_ids)[-1]
    await room.assert_no_waste()


async def test_the_image_that_is_expected_and_no_name(room: Room) -> None:
    data, identifier = simple("localhost:5000/app:1")
    other, _ = simple("nginx:latest", b"other")
    for wrong in (other, docker_archive()):
        with pytest.raises((Conflict, Invalid)):
            async for _ in room.images.load(chunks(wrong), only=identifier):
                pass
    assert await room.images.list() == []
    steps = [step async for step in room.images.load(chunks(data), only=identifier)]
    assert steps[-1] == Loaded(identifier, ())
    with pytest.raises(NotFound):
        await room.images.resolve("localhost:5000/app:1")
    await room.assert_no_waste()


async def test_no_more_is_read_or_unpacked_than_was_said(room: Room) -> None:
    layers = [layer("base"), layer("top", b"x" * (8 << 20))]
    document = config(layers)
    identifier, packed = f"sha256:{sha(document)}", [gzip.compress(one) for one in layers]
    data = docker_archive((document, packed, ["app:1"]))
    for limits, kind in (({"limit": 1000}, Conflict), ({"limit": len(data), "files": 1 << 20}, Invalid)):
        with pytest.raises(kind):
            async for _ in room.images.load(chunks(data), only=identifier, **limits):
                pass
        assert await room.images.list() == []
        await room.assert_no_waste()
    with pytest.raises(Conflict, match="larger than 65536 bytes"):
        bomb = gzip.compress(tar({"bomb": bytes(8 << 20)}))
        async for _ in room.images.load(chunks(bomb), only=identifier, limit=1 << 16):
            pass
    steps = [step async for step in room.images.load(chunks(data), only=identifier, limit=len(data), files=9 << 20)]
    assert steps[-1] == Loaded(identifier, ())


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
async def test_compressed_archives(room: Room, compress: Callable[[bytes], bytes]) -> None:
    data, identifier = simple()
    assert [loaded.image_id for loaded in await room.load(compress(data))] == [identifier]
    await room.assert_no_waste()


async def test_several_gzip_streams_and_padding(room: Room) -> None:
    data, identifier = simple()
    packed = gzip.compress(data[:5000]) + gzip.compress(data[5000:]) + bytes(4096)
    assert [loaded.image_id for loaded in await room.load(packed)] == [identifier]


async def test_several_images_share_their_base(room: Room) -> None:
    base, one, two = layer("base"), layer("one"), layer("two")
    first, second = config([base, one]), config([base, two])
    data = docker_archive((first, [base, one], ["a:1", "a:2"]), (second, [base, two], ["b"]))
    loaded = await room.load(data)
    assert [item.references for item in loaded] == [("a:1", "a:2"), ("b:latest",)]
    assert len(room.layers.layers()) == 3
    await room.assert_no_waste()


async def test_progress_is_told_before_the_name(room: Room) -> None:
    steps = [step async for step in room.images.load(chunks(simple()[0]))]
    assert [type(step) for step in steps] == [LayerProgress, LayerProgress, Loaded]


async def test_an_image_without_a_name_is_found_by_id(room: Room) -> None:
    data, identifier = simple("")
    assert await room.load(data) == [Loaded(identifier)]
    assert (await room.images.resolve(identifier[7:19])).references == ()


async def test_a_name_moves_and_the_old_image_stays_without(room: Room) -> None:
    old, new = simple("app:1"), simple("app:1", b"other")
    await room.load(old[0])
    assert await room.load(new[0]) == [Loaded(new[1], ("app:1",), {"app:1": old[1]})]
    assert await room.names() == {old[1]: (), new[1]: ("app:1",)}


async def test_loading_twice_changes_nothing(room: Room) -> None:
    data, identifier = simple()
    await room.load(data)
    before = await room.images.resolve(identifier)
    await room.load(data)
    after = await room.images.resolve(identifier)
    assert (after.layers, after.manifest, after.references) == (before.layers, before.manifest, before.references)
    await room.assert_no_waste()


async def test_symbolic_and_hard_links_between_layers(room: Room) -> None:
    base = layer("base")
    document = config([base, base, base])
    files: dict[str, Any] = {
        "a/layer.tar": base,
        "b/layer.tar": ("symlink", "../a/layer.tar"),
        "c/layer.tar": ("link", "b/layer.tar"),
        "c.json": document,
        "manifest.json": json.dumps(
            [{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["a/layer.tar", "b/layer.tar", "./c/layer.tar"]}]
        ).encode(),
    }
    assert (await room.load(tar(files)))[0].image_id == f"sha256:{sha(document)}"


async def test_the_oldest_layout(room: Room) -> None:
    base, top = layer("base"), layer("top")
    step = {"created": "2013-01-01T00:00:00Z", "container_config": {"Cmd": ["/bin/sh", "-c", "make"]}}
    files: dict[str, Any] = {
        "repositories": json.dumps({"old/app": {"1.0": "top1"}}).encode(),
        "base/VERSION": b"1.0",
        "base/json": json.dumps({"id": "base", "architecture": "amd64", "os": "linux"} | step).encode(),
        "base/layer.tar": base,
        "top1/VERSION": b"1.0",
        "top1/json": json.dumps(
            {"id": "top1", "parent": "base", "architecture": "amd64", "os": "linux", "config": {"Cmd": ["x"]}} | step
        ).encode(),
        "top1/layer.tar": top,
    }
    [loaded] = await room.load(tar(files))
    assert loaded.references == ("old/app:1.0",)
    image = await room.images.resolve("old/app:1.0")
    assert image.diff_ids == (f"sha256:{sha(base)}", f"sha256:{sha(top)}")
    assert [entry.created_by for entry in await room.images.history("old/app:1.0")] == ["/bin/sh -c make"] * 2
    await room.assert_no_waste()


@pytest.mark.parametrize("compress", [True, False])
async def test_oci_layout(room: Room, compress: bool) -> None:
    layout = Layout()
    layers = [layer("base"), layer("top")]
    manifest = layout.image(layers, compress=compress)
    layout.add(manifest, name="docker.io/library/app:1", ref="1")
    layout.add(manifest, ref="example.com/app:2")
    [loaded] = await room.load(layout.tar())
    assert loaded.references == ("app:1", "example.com/app:2")
    image = await room.images.resolve("app:1")
    assert image.manifest == manifest["digest"]
    assert (await room.images.resolve(f"app@{manifest['digest']}")).id == image.id
    await room.assert_no_waste()


async def test_a_bare_tag_names_nothing(room: Room) -> None:
    layout = Layout()
    layout.add(layout.image([layer("base")]), ref="latest")
    [loaded] = await room.load(layout.tar())
    assert loaded.references == ()


async def test_platform_choice(room: Room) -> None:
    layout = Layout()
    offers = {
        name: layout.image([layer(name)], architecture=name.partition("/")[0], variant=name.partition("/")[2])
        for name in ("arm64", "amd64", "arm/v6")
    }
    attestation = offers["amd64"] | {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    layout.add(layout.index(attestation, *offers.values()), name="docker.io/library/app:1")
    data = layout.tar()
    [loaded] = await room.load(data, platform=platforms.parse("linux/arm/v7"))
    assert (await room.images.resolve(loaded.image_id)).config.architecture == "arm"
    [loaded] = await room.load(data)
    architecture = (await room.images.resolve("app:1")).config.architecture
    assert architecture == platforms.host().architecture
    with pytest.raises(NotFound, match="linux/s390x"):
        await room.load(data, platform=platforms.parse("linux/s390x"))
    await room.images.remove("app:1")
    for image in await room.images.list():
        await room.images.remove(image.id)
    assert await room.kept() == ([], [])


async def test_docker_archive_for_another_platform_is_refused_if_asked(room: Room) -> None:
    data, _ = simple()
    with pytest.raises(NotFound):
        await room.load(data, platform=platforms.parse("linux/arm64"))
    assert await room.kept() == ([], [])


BASE = layer("base")


def wrong_archives() -> dict[str, bytes]:
    """Archives that must be refused, by what is wrong with them."""
    good, _ = simple()
    document = config([BASE])
    entry = {"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["l.tar"]}

    def docker(files: dict[str, Any], **changes: Any) -> bytes:
        return tar({"c.json": document, "manifest.json": json.dumps([entry | changes]).encode()} | files)

    layout = Layout()
    layout.add(layout.image([BASE]), name="docker.io/library/app:1")
    lying = {path: data for path, data in layout.files.items() if isinstance(data, bytes)}
    victim = next(path for path, data in lying.items() if data[:2] == b"\x1f\x8b")
    wrong_layer = Layout()
    wrong_layer.add(wrong_layer.image([BASE], rootfs={"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}))
    return {
        "nothing": b"",
        "garbage": b"garbage" * 1000,
        "zeros": bytes(4096),
        "short": b"x",
        "broken gzip": gzip.compress(good)[:-200],
        "damaged gzip": gzip.compress(good)[:200] + b"\xff" * 2000,
        "no manifest": tar({"a": b"b"}),
        "truncated": good[: len(good) // 3],
        "manifest not JSON": tar({"manifest.json": b"{"}),
        "manifest wrong type": tar({"manifest.json": b'{"a": 1}'}),
        "missing layer": docker({}),
        "missing config": docker({"l.tar": BASE}, Config="nothing.json"),
        "layer not a tar": docker({"l.tar": b"not a tar" * 200}),
        "other layer": docker({"l.tar": layer("other")}),
        "too few layers": docker({"l.tar": BASE}, Layers=[]),
        "wrong name": docker({"l.tar": BASE}, RepoTags=["UPPER:1"]),
        "dots": docker({"../l.tar": BASE}, Layers=["../l.tar"]),
        "absolute": docker({"/l.tar": BASE}),
        "link out": docker({"l.tar": ("symlink", "../../etc/passwd")}),
        "link loop": docker({"l.tar": ("symlink", "m.tar"), "m.tar": ("symlink", "l.tar")}),
        "config not JSON": tar({"c.json": b"[]", "l.tar": BASE, "manifest.json": json.dumps([entry]).encode()}),
        "deep JSON": tar({"manifest.json": b"[" * 100_000}),
        "blob with another digest": tar(lying | {victim: b"changed"}),
        "blob without a digest": tar({"blobs/sha256/zz": b"x"}),
        "layer of another digest": wrong_layer.tar(),
        "oldest without end": tar({"repositories": b'{"a": {"1": "x"}}', "x/json": b'{"parent": "x"}'}),
        "oldest without json": tar({"repositories": b'{"a": {"1": "x"}}'}),
    }


@pytest.mark.parametrize("name", list(wrong_archives()))
async def test_wrong_archives_are_refused_and_leave_nothing(room: Room, name: str) -> None:
    with pytest.raises((Invalid, NotFound)) as caught:
        await room.load(wrong_archives()[name])
    assert str(caught.value)
    assert await room.images.list() == [] and await room.kept() == ([], [])
    data, identifier = simple()
    await room.load(data)
    assert await room.names() == {identifier: ("app:1",)}


async def test_a_huge_header_is_refused_before_it_is_read(room: Room) -> None:
    member = tarfile.TarInfo("././@PaxHeader")
    member.type, member.size = tarfile.XHDTYPE, 1 << 32
    with pytest.raises(Invalid, match="header"):
        await room.load(member.tobuf(tarfile.USTAR_FORMAT) + bytes(512))


async def test_a_client_that_goes_away_leaves_nothing(room: Room) -> None:
    data, _ = simple()
    reading = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield data[:3000]
        reading.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(anext(room.images.load(slow())))
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await room.kept() == ([], []) and not list((room.root / "content/ingest").iterdir())


async def test_an_error_of_the_client_is_passed_on(room: Room) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield simple()[0][:3000]
        raise Canceled("the client went away")

    with pytest.raises(Canceled):
        async for _ in room.images.load(broken()):
            pass
    assert await room.kept() == ([], [])


async def test_a_load_that_is_not_read_to_its_end_leaves_nothing(room: Room) -> None:
    async with closing(room.images.load(chunks(simple()[0]))) as steps:
        await anext(steps)
    assert await room.images.list() == [] and await room.kept() == ([], [])


async def test_loads_and_removals_at_the_same_time(room: Room) -> None:
    archives = [simple(f"app:{index}", b"%d" % (index % 3)) for index in range(12)]

    async def one(data: bytes, name: str) -> None:
        for _ in range(3):
            await room.load(data)
            with_name = await room.images.resolve(name)
            assert all(room.content.exists(item.blob) for item in with_name.layers)
            assert all(room.layers.has_layer(item.chain_id) for item in with_name.layers)
            await room.images.remove(name)

    await asyncio.gather(*(one(data, f"app:{index}") for index, (data, _) in enumerate(archives)))
    assert await room.images.list() == [] and await room.kept() == ([], [])


async def test_after_a_crash_half_made_things_are_gone_and_images_are_there(room: Room) -> None:
    data, identifier = simple()
    await room.load(data)
    stray = await room.content.put(b"stray")
    await room.layers.apply(
        f"sha256:{'ab' * 32}", None, room.content.path((await room.images.resolve("app:1")).layers[0].blob)
    )
    (room.root / "content/ingest/half").write_bytes(b"half")
    again = await Room(room.root, room.store).open()
    assert await again.names() == {identifier: ("app:1",)}
    assert stray not in (await again.kept())[0]
    await again.assert_no_waste()


async def test_a_full_disk_is_said(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(Exhausted, match="No space left"):
            await room.load(simple()[0])
    assert await room.kept() == ([], [])
