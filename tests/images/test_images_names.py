"""Names, removal with Docker's rules and texts, pruning, history and disk space."""

import asyncio
import re
import subprocess

import pytest
from images_kit import Room, chunks, config, docker_archive, layer, simple

from boxship.errors import Conflict, Invalid, NotFound
from boxship.images import Removal, Use
from boxship.spec import reference as references
from boxship.spec.image import ExecutionConfig

RUNNING, STOPPED = "c" * 64, "d" * 64


def used(identifier: str, running: bool) -> tuple[Use, ...]:
    return (Use(RUNNING if running else STOPPED, identifier, running),)


async def loaded(room: Room, name: str = "app:1", content: bytes = b"x") -> str:
    data, identifier = simple(name, content)
    await room.load(data)
    return identifier


async def tag(room: Room, old: str, new: str) -> None:
    await room.images.tag(old, references.parse(new))


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("x", "No such image: x:latest"),
        ("x:1", "No such image: x:1"),
        ("user/x", "No such image: user/x:latest"),
        ("ab" * 32, f"No such image: {'ab' * 32}"),
        (f"sha256:{'ab' * 32}", f"No such image: sha256:{'ab' * 32}"),
        (f"x@sha256:{'ab' * 32}", f"No such image: x@sha256:{'ab' * 32}"),
    ],
)
async def test_missing_images(room: Room, reference: str, message: str) -> None:
    await loaded(room)
    for call in (room.images.resolve, room.images.remove, room.images.history, room.save):
        with pytest.raises(NotFound) as caught:
            await call(reference)
        assert str(caught.value) == message


async def test_wrong_names(room: Room) -> None:
    with pytest.raises(Invalid, match="must be lowercase"):
        await room.images.resolve("UPPER")
    with pytest.raises(Invalid, match="invalid reference format"):
        await room.images.resolve("")


async def test_every_way_to_name_an_image(room: Room) -> None:
    identifier = await loaded(room, "app:latest")
    image = await room.images.resolve("app")
    for text in (
        "app:latest",
        "docker.io/library/app",
        identifier,
        identifier[7:],
        identifier[:20],
        identifier[7:19],
        f"app@{image.manifest}",
        f"app:latest@{image.manifest}",
    ):
        assert (await room.images.resolve(text)).id == identifier
    with pytest.raises(NotFound):
        await room.images.resolve(f"other@{image.manifest}")


async def test_a_name_goes_before_the_beginning_of_an_id(room: Room) -> None:
    first = await loaded(room, "app:1")
    other = await loaded(room, f"{first[7:19]}:latest", b"other")
    assert (await room.images.resolve(first[7:19])).id == other
    assert (await room.images.resolve(first[7:20])).id == first


async def test_tagging(room: Room) -> None:
    identifier = await loaded(room)
    await tag(room, "app:1", "registry:5000/other/name")
    await tag(room, identifier[:19], "app:2")
    image = await room.images.resolve("app:2")
    assert image.references == ("app:1", "app:2", "registry:5000/other/name:latest") and image.tagged_at
    with pytest.raises(Invalid, match="refusing to create a tag with a digest reference"):
        await tag(room, "app:1", f"a@sha256:{'ab' * 32}")
    with pytest.raises(Invalid, match="refusing to create an ambiguous tag"):
        await tag(room, "app:1", "sha256:1")
    with pytest.raises(NotFound, match="No such image: nothing:latest"):
        await tag(room, "nothing", "a")


async def test_the_last_name_takes_the_image_with_it(room: Room) -> None:
    identifier = await loaded(room)
    image = await room.images.resolve("app:1")
    await tag(room, "app:1", "app:2")
    assert await room.images.remove("app:1") == (Removal("Untagged", "app:1"),)
    assert await room.images.remove("app:2") == (
        Removal("Untagged", "app:2"),
        Removal("Deleted", identifier),
        *(Removal("Deleted", item.chain_id) for item in reversed(image.layers)),
    )
    assert await room.kept() == ([], [])
    again = await Room(room.root, room.store).open()
    assert await again.images.list() == []


async def test_shared_layers_stay(room: Room) -> None:
    base, one, two = layer("base"), layer("one"), layer("two")
    data = docker_archive((config([base, one]), [base, one], ["a"]), (config([base, two]), [base, two], ["b"]))
    await room.load(data)
    assert [step.kind for step in await room.images.remove("a")] == ["Untagged", "Deleted", "Deleted"]
    await room.assert_no_waste()
    assert len(room.layers.layers()) == 2


async def test_by_id_with_one_name(room: Room) -> None:
    identifier = await loaded(room)
    steps = await room.images.remove(identifier[7:17])
    assert steps[0] == Removal("Untagged", "app:1") and steps[1] == Removal("Deleted", identifier)


async def test_by_id_with_several_names_needs_force(room: Room) -> None:
    identifier = await loaded(room)
    await tag(room, "app:1", "other:1")
    short = identifier[7:19]
    with pytest.raises(Conflict) as caught:
        await room.images.remove(identifier)
    why = "image is referenced in multiple repositories"
    assert str(caught.value) == f"conflict: unable to delete {short} (must be forced) - {why}"
    steps = await room.images.remove(short, force=True)
    assert {step.what for step in steps if step.kind == "Untagged"} == {"app:1", "other:1"}
    assert await room.images.list() == []


async def test_a_name_under_a_container(room: Room) -> None:
    identifier = await loaded(room)
    for running in (True, False):
        with pytest.raises(Conflict) as caught:
            await room.images.remove("app:1", uses=used(identifier, running))
        container = (RUNNING if running else STOPPED)[:12]
        assert str(caught.value) == (
            'conflict: unable to remove repository reference "app:1" (must force) - container '
            f"{container} is using its referenced image {identifier[7:19]}"
        )
    await tag(room, "app:1", "app:2")
    assert await room.images.remove("app:2", uses=used(identifier, True)) == (Removal("Untagged", "app:2"),)


async def test_force_takes_the_name_of_a_running_container_but_not_its_image(room: Room) -> None:
    identifier = await loaded(room)
    steps = await room.images.remove("app:1", force=True, uses=used(identifier, True))
    assert steps == (Removal("Untagged", "app:1"),)
    assert (await room.images.resolve(identifier)).references == ()
    with pytest.raises(Conflict) as caught:
        await room.images.remove(identifier, force=True, uses=used(identifier, True))
    assert str(caught.value) == (
        f"conflict: unable to delete {identifier[7:19]} (cannot be forced) - "
        f"image is being used by running container {RUNNING[:12]}"
    )
    with pytest.raises(Conflict, match=f"must be forced.*used by stopped container {STOPPED[:12]}"):
        await room.images.remove(identifier, uses=used(identifier, False))


async def test_force_under_a_stopped_container_keeps_its_layers(room: Room) -> None:
    identifier = await loaded(room)
    kept = set((await room.kept())[1])
    uses = used(identifier, False)
    assert Removal("Deleted", identifier) in await room.images.remove(identifier, force=True, uses=uses)
    assert await room.images.list() == [] and set((await room.kept())[1]) == kept
    with pytest.raises(NotFound):
        await room.images.resolve(identifier)
    again = await Room(room.root, room.store).open(uses)
    assert set((await again.kept())[1]) == kept
    await again.images.collect(uses)
    assert set((await again.kept())[1]) == kept
    await again.images.collect(())
    assert await again.kept() == ([], [])


async def test_an_image_removed_by_force_can_come_back(room: Room) -> None:
    identifier = await loaded(room)
    await room.images.remove("app:1", force=True, uses=used(identifier, False))
    assert await loaded(room) == identifier
    await room.images.collect(())
    assert (await room.images.resolve("app:1")).id == identifier
    await room.assert_no_waste()


async def test_parents_and_history(room: Room) -> None:
    await loaded(room)
    parent = await room.images.resolve("app:1")
    child = await room.images.commit(chunks(layer("new")), parent, None, created_by="sh", comment="why")
    with pytest.raises(Conflict, match=r"cannot be forced.*image has dependent child images"):
        await room.images.remove(parent.id, force=True)
    lines = await room.images.history(child.id[:19])
    assert [line.id for line in lines] == [child.id, parent.id, "<missing>"]
    assert lines[0].created_by == "sh" and lines[0].comment == "why" and lines[1].references == ("app:1",)
    assert sum(line.size for line in lines) == child.size and all(line.size for line in lines)
    assert await room.images.remove("app:1") == (Removal("Untagged", "app:1"),)
    await room.images.remove(child.id)
    await room.images.remove(parent.id)
    assert await room.kept() == ([], [])


async def test_prune(room: Room) -> None:
    named = await loaded(room)
    bare = await loaded(room, "", b"bare")
    in_use = await loaded(room, "", b"used")
    kept = await loaded(room, "", b"kept")
    before = (await room.images.usage()).layers_size
    steps, freed = await room.images.prune(lambda image: image.id != kept, uses=used(in_use, False))
    assert steps[0] == Removal("Deleted", bare) and freed == before - (await room.images.usage()).layers_size > 0
    assert set(await room.names()) == {named, in_use, kept}
    steps, _ = await room.images.prune(lambda image: True, everything=True)
    assert Removal("Untagged", "app:1") in steps
    assert await room.kept() == ([], [])


async def test_disk_space(room: Room) -> None:
    base, one, two = layer("base", bytes(9000)), layer("one"), layer("two")
    data = docker_archive((config([base, one]), [base, one], ["a"]), (config([base, two]), [base, two], ["b"]))
    await room.load(data)
    usage = await room.images.usage()
    sizes = [await room.layers.layer_usage(chain_id) for chain_id in room.layers.layers()]
    assert usage.layers_size == sum(sizes)
    assert {entry.shared for entry in usage.images} == {max(sizes)}
    assert sum(entry.unique for entry in usage.images) + max(sizes) == usage.layers_size
    blobs = (room.root / "content/blobs/sha256").iterdir()
    assert usage.blobs_size == sum(path.stat().st_blocks * 512 for path in blobs)
    folders = [str(path) for path in (room.root / "snapshots/layers").iterdir()]
    said = await asyncio.to_thread(subprocess.run, ["du", "-sB1", *folders], capture_output=True, check=True)
    assert usage.layers_size + usage.records_size == sum(int(line.split()[0]) for line in said.stdout.splitlines())


async def test_list_is_newest_first(room: Room) -> None:
    for year in (2021, 2023, 2022):
        await room.load(simple(f"app:{year}", created=f"{year}-01-01T00:00:00Z")[0])
    assert [image.references[0] for image in await room.images.list()] == ["app:2023", "app:2022", "app:2021"]


async def test_import(room: Room) -> None:
    import gzip

    data = layer("file", b"hello")
    image = await room.images.import_tar(
        chunks(gzip.compress(data)),
        references.parse("imported"),
        changes=['CMD ["a", "b"]', "ENV A=1"],
        message="from a test",
    )
    assert image.references == ("imported:latest",) and len(image.layers) == 1
    assert image.config.config == ExecutionConfig(Cmd=("a", "b"), Env=("A=1",))
    assert [line.comment for line in await room.images.history("imported")] == ["from a test"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", image.config.created)
    await room.assert_no_waste()


@pytest.mark.parametrize("data", [b"", b"garbage" * 1000])
async def test_import_of_garbage(room: Room, data: bytes) -> None:
    with pytest.raises(Invalid):
        await room.images.import_tar(chunks(data), references.parse("x"))
    with pytest.raises(Invalid):
        await room.images.import_tar(chunks(layer("a")), None, changes=["FROM x"])
    assert await room.kept() == ([], [])


async def test_commit_with_changes_and_a_name(room: Room) -> None:
    await loaded(room)
    parent = await room.images.resolve("app:1")
    image = await room.images.commit(
        chunks(layer("new")),
        parent,
        ExecutionConfig(Cmd=("sh",), Labels={"a": "1"}),
        reference=references.parse("app:2"),
        author="me",
        changes=["LABEL b=2"],
    )
    assert image.references == ("app:2",) and image.parent == parent.id and image.config.author == "me"
    assert image.config.config == ExecutionConfig(Cmd=("sh",), Labels={"a": "1", "b": "2"})
    assert image.diff_ids[:-1] == parent.diff_ids and image.layers[:-1] == parent.layers
    assert image.config.architecture == parent.config.architecture


async def test_commit_without_changed_files_adds_no_layer(room: Room) -> None:
    await loaded(room)
    parent = await room.images.resolve("app:1")
    image = await room.images.commit(chunks(bytes(1024)), parent, None)
    assert image.layers == parent.layers and image.id != parent.id
    assert (await room.images.history(image.id))[0].size == 0
    await room.assert_no_waste()


@pytest.mark.parametrize("names", [("app:1",), ("app",), ("app:1", "other"), ("id",), ("app:1", "app:2", "id")])
async def test_save_and_load_give_the_same(
    room: Room, tmp_path_factory: pytest.TempPathFactory, names: tuple[str, ...]
) -> None:
    identifier = await loaded(room)
    await tag(room, "app:1", "app:2")
    await loaded(room, "other:latest", b"other")
    data = await room.save(*(identifier if name == "id" else name for name in names))
    from boxship.store.memory import MemoryStore

    twin = await Room(tmp_path_factory.mktemp("twin"), MemoryStore()).open()
    await twin.load(data)
    expected = {"app:1"} if "app:1" in names else set()
    expected |= {"app:1", "app:2"} if "app" in names else set()
    expected |= {"app:2"} if "app:2" in names else set()
    expected |= {"other:latest"} if "other" in names else set()
    found = await twin.images.list()
    assert {name for image in found for name in image.references} == expected
    for image in found:
        original = await room.images.resolve(image.id)
        assert (image.manifest, image.layers, image.config) == (original.manifest, original.layers, original.config)
    await twin.assert_no_waste()


async def test_save_of_nothing(room: Room) -> None:
    with pytest.raises(Invalid):
        await room.save()
