"""What is handed out: images and their names, archives, trees; the same each time."""

import asyncio
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from builder_kit import Workplace, of_kind

from boxship.builder.model import BuildRequest, Built, CacheEnd, Output, OutputData
from boxship.builder.operations import FolderTree
from boxship.errors import Invalid, Unsupported
from boxship.images.documents import timestamp
from boxship.store.memory import MemoryStore

TEXT = "FROM base\nLABEL a=1\nRUN one\nENV B=2\nRUN two\nCMD x\n"
EPOCH = 1_000_000_000


async def archive(workplace: Workplace, output: Output, text: str = TEXT, **options: Any) -> dict[str, bytes]:
    """The files of an output that streams."""
    events = await workplace.events(text, outputs=(output,), **options)
    pieces = of_kind(events, OutputData)
    assert pieces[-1].data == b"" and all(piece.index == 0 for piece in pieces)
    with tarfile.open(fileobj=io.BytesIO(b"".join(piece.data for piece in pieces))) as tar:
        files = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}


async def test_names(workplace: Workplace) -> None:
    built = await workplace.build(TEXT, tags=("a", "b:2"), outputs=(Output(attributes={"name": "c:3,d"}),))
    assert built.names == ("a:latest", "b:2", "c:3", "d:latest")
    assert (await workplace.images.resolve("c:3")).id == built.image


async def test_annotations_and_labels(workplace: Workplace) -> None:
    output = Output(attributes={"annotation.org.key": "value"})
    image = await workplace.image(TEXT, outputs=(output,), annotations={"other": "x"}, labels={"l": "m", "a": "2"})
    manifest = json.loads(await workplace.content.read(image.manifest, 1 << 20))
    assert manifest["annotations"] == {"org.key": "value", "other": "x"}
    assert image.config.config is not None and image.config.config.Labels == {"a": "2", "l": "m"}


@pytest.mark.parametrize("kind", ["tar", "local"])
async def test_a_tree_of_files(workplace: Workplace, kind: str) -> None:
    files = await archive(workplace, Output(kind=kind))
    assert files["etc/base"] == b"base" and len(files) == 3
    assert len(await workplace.images.list()) == 1  # no image was made


@pytest.mark.parametrize("kind", ["oci", "docker"])
@pytest.mark.parametrize("compression", ["uncompressed", "gzip", "zstd"])
async def test_an_archive_of_the_image(workplace: Workplace, kind: str, compression: str) -> None:
    output = Output(kind=kind, attributes={"name": "app:1", "compression": compression})
    files = await archive(workplace, output)
    index = json.loads(files["index.json"])
    manifest = json.loads(files[index["manifests"][0]["digest"].replace("sha256:", "blobs/sha256/")])
    for part in (manifest["config"], *manifest["layers"]):
        data = files[part["digest"].replace("sha256:", "blobs/sha256/")]
        assert hashlib.sha256(data).hexdigest() == part["digest"][7:] and len(data) == part["size"]
    ends = {layer["mediaType"].rpartition("+")[2] for layer in manifest["layers"][1:]}
    assert ends == ({"application/vnd.oci.image.layer.v1.tar"} if compression == "uncompressed" else {compression})
    assert len(await workplace.images.list()) == 1
    assert await archive(workplace, output) == files


async def test_several_outputs_at_once(workplace: Workplace) -> None:
    outputs = (Output(), Output(kind="tar"), Output(kind="oci"))
    events = await workplace.events(TEXT, outputs=outputs, tags=("app",))
    assert {event.index for event in of_kind(events, OutputData)} == {1, 2}
    assert (await workplace.images.resolve("app")).id == events[-1].image  # type: ignore[union-attr]


async def test_a_slow_reader_makes_nothing_grow(workplace: Workplace) -> None:
    async def big() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield bytes(1 << 18)

    async def export(*words: Any) -> AsyncIterator[bytes]:
        return big()

    workplace.executor.export = export  # type: ignore[method-assign]
    generator = workplace.builder.build(workplace.request(TEXT, outputs=(Output(kind="tar"),)))
    received = 0
    async for event in generator:
        if isinstance(event, OutputData):
            for _ in range(20):
                await asyncio.sleep(0)
            received += len(event.data)
    assert received == 200 << 18


async def test_an_unnamed_image_stays_and_the_parent_of_times_is_the_layer(workplace: Workplace) -> None:
    image = await workplace.image(TEXT)
    history = (image.config.history or ())[1:]
    times = [entry.created for entry in history]
    assert times[0] == times[1] == times[2] < times[3] == times[4]  # LABEL has the first layer's, CMD the last one's
    assert image.config.created == times[-1]
    assert image.references == ()


async def test_two_builds_from_clean_caches_give_one_digest(tmp_path: Path) -> None:
    digests = set()
    for number in range(2):
        root = tmp_path / str(number)
        root.mkdir()
        store = MemoryStore()
        workplace = await Workplace(root, store).open()
        try:
            workplace.write(base="base")
            base = await workplace.build("FROM scratch\nCOPY base /etc/base\n", tags=("base",), epoch=EPOCH)
            built = await workplace.build(TEXT, arguments={"SOURCE_DATE_EPOCH": str(EPOCH)})
            digests.add((base.image, built.image, built.manifest))
            image = await workplace.images.resolve(built.image)
            assert {entry.created for entry in image.config.history or ()} == {timestamp(EPOCH * 1_000_000_000)}
            assert image.config.created == "2001-09-09T01:46:40Z"
        finally:
            await workplace.close()
    assert len(digests) == 1


@pytest.mark.parametrize("text", ["x", "-1", "99999999999999", "1.5"])
async def test_wrong_epochs_are_refused(workplace: Workplace, text: str) -> None:
    with pytest.raises(Invalid, match="SOURCE_DATE_EPOCH"):
        await workplace.build(TEXT, arguments={"SOURCE_DATE_EPOCH": text})


@pytest.mark.parametrize(
    "options",
    [
        {"squash": True},
        {"outputs": (Output(attributes={"force-compression": "true"}),)},
        {"outputs": (Output(attributes={"oci-mediatypes": "false"}),)},
        {"outputs": (Output(attributes={"unpack": "false"}),)},
        {"outputs": (Output(attributes={"dest": "/x"}),)},
        {"outputs": (Output(attributes={"rewrite-timestamp": "false"}),), "epoch": 1},
        {"outputs": (Output(attributes={"rewrite-timestamp": "0"}),), "arguments": {"SOURCE_DATE_EPOCH": "1"}},
        {"outputs": (Output(kind="oci", attributes={"push": "true"}),)},
        {"outputs": (Output(kind="docker", attributes={"store": "true"}),)},
        {"outputs": (Output(kind="none", attributes={"name": "x"}),)},
        {"outputs": (Output(kind="tar", attributes={"mode": "x"}),)},
        {"cache_from": (CacheEnd(kind="inline"),)},
        {"cache_from": (CacheEnd(kind="gha"),)},
    ],
)
async def test_what_is_not_there_is_refused_by_name(workplace: Workplace, options: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="unsupported: "):
        await workplace.build(TEXT, **options)


async def test_what_is_done_in_any_case_may_be_asked_for(workplace: Workplace) -> None:
    attributes = {
        "unpack": "true",
        "store": "1",
        "oci-mediatypes": "true",
        "rewrite-timestamp": "true",
        "push": "false",
    }
    assert (await workplace.build(TEXT, outputs=(Output(attributes=attributes),))).image
    wrong = [("image", "unpack"), ("image", "push"), ("tar", "platform-split"), ("oci", "rewrite-timestamp")]
    for kind, name in wrong:
        with pytest.raises(Invalid, match=f"invalid value perhaps for output attribute {name}"):
            await workplace.build(TEXT, outputs=(Output(kind=kind, attributes={name: "perhaps"}),))


async def test_what_only_an_image_can_have_needs_one(workplace: Workplace) -> None:
    for options in ({"annotations": {"a": "b"}}, {"cache_to": (CacheEnd(kind="inline"),)}):
        for outputs in ((Output(kind="tar"),), (Output(kind="none"),), ()):
            with pytest.raises(Invalid, match="no output is an image"):
                await workplace.build(TEXT, outputs=outputs, **options)


async def test_nothing_is_asked_for(workplace: Workplace) -> None:
    events = await workplace.events(TEXT, outputs=(Output(kind="none"),))
    assert events[-1] == Built(steps=3, cached=1)
    assert len(await workplace.images.list()) == 1


async def test_a_dockerfile_alone(workplace: Workplace) -> None:
    request = BuildRequest(dockerfile_text=TEXT.encode(), context=None)
    assert [event async for event in workplace.builder.build(request)][-1].image  # type: ignore[union-attr]
    with pytest.raises(Invalid, match="neither a context nor a Dockerfile"):
        await workplace.build(context=None)


async def test_the_dockerfile_of_the_context_and_its_ignore_file(workplace: Workplace) -> None:
    workplace.write(dockerfile="FROM base\nCOPY . /all/\n", keep="1", leave="1", other="1")
    (workplace.context / ".dockerignore").write_text("leave\nDockerfile\n.dockerignore\n")
    image = await workplace.image()
    assert names_in(workplace, image) == {"/all/keep", "/all/other", "/etc/base"}
    (workplace.context / "Dockerfile.dockerignore").write_text("other\nDockerfile*\n.dockerignore\n")
    assert names_in(workplace, await workplace.image()) == {"/all/keep", "/all/leave", "/etc/base"}
    rules = b"\xef\xbb\xbfother\r\nDocker*\r\n.dockerignore\r\na\x0bb\r\n"  # the last line is one pattern
    (workplace.context / "Dockerfile.dockerignore").write_bytes(rules)
    workplace.write(b="1")
    assert names_in(workplace, await workplace.image()) == {"/all/b", "/all/keep", "/all/leave", "/etc/base"}
    request = BuildRequest(context=FolderTree(workplace.context), dockerfile="none")
    with pytest.raises(Invalid, match="failed to read dockerfile: open none: no such file or directory"):
        [event async for event in workplace.builder.build(request)]


def names_in(workplace: Workplace, image: Any) -> set[str]:
    return set(workplace.executor.trees[image.chain_id])
