"""Lists: pieces of one snapshot, selectors, versions, views."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cluster_api_kit import Asker, config_map, running

from boxship.cluster.api.listing import PIECE_BYTES, READY_BYTES, read_token, token_of
from boxship.cluster.api.request import Answer, View
from boxship.cluster.objects.failure import Failure
from boxship.store.memory import MemoryStore
from boxship.store.sqlite import SqliteStore

PATH = "v1/configmaps"


@pytest.fixture(params=["memory", "sqlite"])
async def asker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Asker]:
    store = MemoryStore() if request.param == "memory" else await SqliteStore.open(tmp_path / "state.db", backup=False)
    async with running(store) as asker:
        yield asker


def names(listed: Any) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


async def fill(asker: Asker, count: int) -> list[str]:
    made = [f"c{number:03}" for number in range(count)]
    for number, name in enumerate(made):
        namespace = "one" if number % 2 else "two"
        await asker.create(PATH, namespace, config_map(name, labels={"odd": str(number % 2)}))
    return made


async def test_pieces_are_one_snapshot_whatever_is_written_meanwhile(asker: Asker) -> None:
    made = await fill(asker, 25)
    first = await asker.list(PATH, limit=10)
    assert first["metadata"]["remainingItemCount"] == 15
    version = first["metadata"]["resourceVersion"]
    await asker.delete(PATH, "one", "c023")
    await asker.create(PATH, "two", config_map("c999"))
    await asker.patch(PATH, "two", "c024", {"data": {"new": "1"}})
    found, token = names(first), first["metadata"]["continue"]
    while token:
        piece = await asker.list(PATH, limit=10, token=token)
        assert piece["metadata"]["resourceVersion"] == version
        assert not any("data" in item for item in piece["items"])
        found += names(piece)
        token = piece["metadata"].get("continue", "")
    assert sorted(found) == made
    assert "c023" not in names(await asker.list(PATH))


# Covers: API Chunking, server should support continue listing from the last key even if the original version has been
# compacted away.
async def test_a_forgotten_piece_gives_a_token_to_go_on(asker: Asker) -> None:
    made = await fill(asker, 12)
    first = await asker.list(PATH, limit=5)
    await asker.create(PATH, "two", config_map("zzz"))
    await asker.patch(PATH, "two", "zzz", {"data": {"k": "v"}})
    await asker.store.compact(await asker.store.revision())
    with pytest.raises(Failure) as caught:
        await asker.list(PATH, limit=5, token=first["metadata"]["continue"])
    failure = caught.value
    assert (failure.code, failure.reason) == (410, "Expired")
    assert str(failure).startswith("The provided continue parameter is too old to display a consistent list result.")
    # From there on, the pieces are of one later moment, and are counted.
    found, token, version = names(first), failure.metadata["continue"], ""
    while token:
        piece = await asker.list(PATH, limit=3, token=token)
        found += names(piece)
        assert piece["metadata"]["resourceVersion"] == (version or piece["metadata"]["resourceVersion"])
        assert piece["metadata"].get("remainingItemCount", 0) == 13 - len(found)
        version, token = piece["metadata"]["resourceVersion"], piece["metadata"].get("continue", "")
        await asker.create(PATH, "two", config_map(f"zzzz{len(found)}"))
    assert int(version) > int(first["metadata"]["resourceVersion"])
    assert sorted(found) == [*made, "zzz"]


async def test_selectors(asker: Asker) -> None:
    await fill(asker, 10)
    assert names(await asker.list(PATH, label_selector="odd=1")) == [f"c{n:03}" for n in range(1, 10, 2)]
    assert names(await asker.list(PATH, field_selector="metadata.name=c003")) == ["c003"]
    assert names(await asker.list(PATH, "one", field_selector="metadata.name=c003")) == ["c003"]
    assert names(await asker.list(PATH, "two", field_selector="metadata.name=c003")) == []
    assert names(await asker.list(PATH, field_selector="metadata.namespace=two,metadata.name!=c000", limit=2)) == [
        "c002",
        "c004",
    ]
    with pytest.raises(Failure, match=r"field label not supported: spec\.x"):
        await asker.list(PATH, field_selector="spec.x=1")
    piece = await asker.list(PATH, label_selector="odd=0", limit=3)
    assert "remainingItemCount" not in piece["metadata"] and len(piece["items"]) == 3
    rest = await asker.list(PATH, label_selector="odd=0", limit=3, token=piece["metadata"]["continue"])
    assert len(rest["items"]) == 2 and "continue" not in rest["metadata"]


async def test_versions(asker: Asker) -> None:
    await fill(asker, 4)
    await asker.delete(PATH, "two", "c000")
    assert len((await asker.list(PATH, version="4", match="Exact"))["items"]) == 4
    assert len((await asker.list(PATH, version="4", match="NotOlderThan"))["items"]) == 3
    assert len((await asker.list(PATH, version="3", limit=2))["items"]) == 2
    assert len((await asker.list(PATH, version="0"))["items"]) == 3
    with pytest.raises(Failure, match="resourceVersionMatch is forbidden unless resourceVersion is provided"):
        await asker.list(PATH, match="Exact")
    with pytest.raises(Failure, match='Invalid value: "x"'):
        await asker.list(PATH, version="x")
    await asker.store.compact(4)
    with pytest.raises(Failure, match="The resourceVersion for the provided list is too old") as caught:
        await asker.list(PATH, version="2", match="Exact")
    assert caught.value.code == 410


async def test_a_version_that_has_not_come_is_waited_for_a_little(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boxship.cluster.api.versions.WAIT", 0.06)
    with pytest.raises(Failure, match="Too large resource version: 99, current: 0") as caught:
        await asker.list(PATH, version="99")
    assert (caught.value.code, caught.value.causes[0].reason) == (504, "ResourceVersionTooLarge")
    with pytest.raises(Failure, match="Too large resource version"):
        await asker.get(PATH, "one", "a", version="99")


async def test_views(asker: Asker) -> None:
    await fill(asker, 3)
    metadata = await asker.list(PATH, view=View("metadata"))
    assert metadata["kind"] == "PartialObjectMetadataList" and metadata["apiVersion"] == "meta.k8s.io/v1"
    assert {item["kind"] for item in metadata["items"]} == {"PartialObjectMetadata"}
    assert all(item["metadata"]["resourceVersion"] for item in metadata["items"])
    table = await asker.list(PATH, view=View("table"))
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][0] == "c001" and table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert "object" not in (await asker.list(PATH, view=View("table", "None")))["rows"][0]
    whole = await asker.list(PATH, view=View("table", "Object"))
    assert whole["rows"][0]["object"]["kind"] == "ConfigMap"
    one = await asker.get(PATH, "one", "c001", view=View("table"))
    assert len(one["rows"]) == 1 and one["columnDefinitions"]
    alone = await asker.get(PATH, "one", "c001", view=View("metadata"))
    assert alone["metadata"]["name"] == "c001" and alone["kind"] == "PartialObjectMetadata"


def test_tokens_say_what_is_wrong_with_them() -> None:
    assert read_token(token_of(5, "/registry/pods/", "/registry/pods/a/b")).start == "a/b"
    for text in ("x", "!!!", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MCwic3RhcnQiOiJhIn0", "a" * 5000):
        with pytest.raises(Failure, match="continue key is not valid: ") as caught:
            read_token(text)
        assert caught.value.code == 400
    for start in ("../a", "/a", ""):
        with pytest.raises(Failure, match="continue key is not valid: "):
            read_token(token_of(5, "/registry/pods/", "/registry/pods/" + start))


@pytest.mark.parametrize("form", ["whole", "metadata", "table"])
async def test_a_long_answer_is_made_as_it_is_taken_and_is_of_one_moment(asker: Asker, form: str) -> None:
    """Many who ask for much at once, and take it slowly, must not need all the memory."""
    # 2.4 MB in each of the forms
    noted = {"annotations": {"note": "x" * 100_000}}
    made = [f"c{number:02}" for number in range(24)]
    for name in made:
        await asker.create(PATH, "default", {"metadata": {"name": name, **noted}})
    request = asker.request("list", PATH, view=View(form))
    answers = [await asker.api.perform(request) for _ in range(10)]
    for name in made:
        await asker.delete(PATH, "default", name)
    for answer in answers:
        assert isinstance(answer, Answer) and answer.rest is not None
        assert len(answer.body) < 2 * PIECE_BYTES < READY_BYTES and not answer.more
    taken = await asyncio.gather(*(answer.whole() for answer in answers if isinstance(answer, Answer)))
    assert len(set(taken)) == 1
    listed = msgspec.json.decode(taken[0])
    rows = [row["object"] for row in listed["rows"]] if form == "table" else listed["items"]
    assert [row["metadata"]["name"] for row in rows] == made


async def test_who_leaves_a_long_answer_keeps_nobody_from_theirs(asker: Asker) -> None:
    for number in range(24):
        await asker.create(PATH, "default", config_map(f"c{number:02}", {"k": "x" * 100_000}))
    request = asker.request("list", PATH)
    left, stays = await asker.api.perform(request), await asker.api.perform(request)
    assert isinstance(left, Answer) and isinstance(stays, Answer)
    pieces = left.pieces()
    for _ in range(READY_BYTES // PIECE_BYTES + 2):
        await anext(pieces)
    taking = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    assert len(msgspec.json.decode(await asyncio.wait_for(stays.whole(), 10))["items"]) == 24
