"""Builds that nobody meant: random queries, orders, frames and archives never meet an error that nobody foresaw."""

import asyncio
import random
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from doors_building import BuildDesk

from archives import tar_of
from boxship.doors.docker.build_order import Order
from boxship.doors.docker.build_query import QUERY, REFUSED
from boxship.doors.docker.build_session import FAILED, ORDER
from boxship.wire.channels import DATA, END, MESSAGE, OPEN, ChannelReader, frame

WORDS = [
    "",
    "0",
    "1",
    "true",
    "-1",
    "9" * 30,
    "{}",
    "[]",
    "null",
    '{"a":1}',
    '["a"]',
    "a\0b",
    "é\ud800",
    "../x",
    "\x1b",
    "%",
    "x" * 300,
]


def query_of(chance: random.Random) -> str:
    names = chance.sample([*QUERY, *REFUSED, "unknown"], chance.randint(1, 6))
    return "&".join(f"{name}={quote(chance.choice(WORDS), errors='surrogatepass')}" for name in names)


@pytest.mark.parametrize("seed", range(60))
async def test_queries(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with BuildDesk(tmp_path) as desk:
        for _ in range(5):
            status, body = await desk.build(f"?{query_of(chance)}", tar_of({"Dockerfile": "FROM a"}))
            assert status in (200, 400), (status, body)
        assert desk.left() == []


def value_of(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return chance.choice(WORDS[:-6])
    if kind == 1:
        return chance.choice([0, 1, -1, 2**40, -(2**63), 10**30, 1.5])
    if kind in (2, 3):
        return chance.choice([None, True, False])
    if kind == 4:
        return "YWJj"
    if kind == 5:
        return [value_of(chance, depth + 1) for _ in range(chance.randrange(3))]
    names = [
        "path",
        "stream",
        "device",
        "inode",
        "patterns",
        "kind",
        "attributes",
        "name",
        "soft",
        "hard",
        "memory",
        "x",
    ]
    return {chance.choice(names): value_of(chance, depth + 1) for _ in range(chance.randrange(4))}


async def answer_of(desk: BuildDesk, data: bytes) -> list[tuple[int, int, bytes]]:
    """All frames that come back for bytes that a client sends before it half-closes."""
    answer = await desk.call("POST", "/boxship/build", headers={"Upgrade": "boxship-build"})
    assert answer.raw is not None
    await answer.raw.write(data)
    answer.raw.write_eof()
    back = await asyncio.wait_for(answer.raw.read_all(), 10)
    return list(ChannelReader().feed(back))


@pytest.mark.parametrize("seed", range(60))
async def test_orders(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    names = list(Order.__struct_fields__)
    async with BuildDesk(tmp_path) as desk:
        for _ in range(5):
            order = {name: value_of(chance) for name in chance.sample(names, chance.randint(1, 4))}
            found = await answer_of(desk, frame(MESSAGE, ORDER, msgspec.json.encode(order)))
            for _, _, payload in [one for one in found if one[:2] == (MESSAGE, FAILED)]:
                assert b"internal error" not in payload, payload
    assert desk.left() == []


@pytest.mark.parametrize("seed", range(60))
async def test_frames(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    context = msgspec.json.encode({"context": {"stream": 1}, "contexts": {"a": {"stream": 2}}})
    archive = tar_of({"Dockerfile": "FROM a", "b": "c" * 3000})
    data = frame(MESSAGE, ORDER, context)
    for _ in range(chance.randint(1, 12)):
        kind = chance.choice((DATA, DATA, END, MESSAGE, OPEN))
        start = chance.randrange(len(archive))
        data += frame(
            kind, chance.choice((0, 1, 1, 2, 2, 3, 0x8000, 0xFFFF)), archive[start : start + chance.randrange(4000)]
        )
    broken = bytearray(data)
    if chance.random() < 0.5:
        broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
    async with BuildDesk(tmp_path) as desk:
        for _, number, payload in await answer_of(desk, bytes(broken[: chance.randint(1, len(broken))])):
            assert number != FAILED or b"internal error" not in payload, payload
    assert desk.left() == []


@pytest.mark.parametrize("seed", range(40))
async def test_archives(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(
        tar_of(
            {"Dockerfile": "FROM a", "b/c": "d" * 2000, "e" * 180: "f"}, chance.choice(("w", "w:gz", "w:xz", "w:bz2"))
        )
    )
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    async with BuildDesk(tmp_path) as desk:
        status, body = await desk.build(body=bytes(data[: chance.randint(1, len(data))]))
        assert status in (200, 400) and b"internal error" not in body, (status, body)
        assert desk.left() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["contexts"]
