"""Answers in forms that people read: YAML, and JSON with line breaks.

Both take long for large documents, so a long list is written piece by piece, as its client takes it. It must never keep
everybody else waiting, however long a list is.
"""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from boxship.cluster.api.pace import Pace
from boxship.wire.yaml_quick import write_quickly
from boxship.wire.yaml_text import from_json

SMALL_BYTES = 4096  # a larger document is turned into YAML by a thread, one at a time
INDENT = 2
ITEMS = ("items", "rows")  # of a list, and of a table

_one = asyncio.Semaphore(1)


async def yaml_of(data: bytes) -> bytes:
    """One document as YAML."""
    if len(data) <= SMALL_BYTES:
        return from_json(data)
    async with _one:
        return await asyncio.to_thread(write_quickly, msgspec.json.decode(data))


async def yaml_pieces(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A list that comes in pieces, as one YAML document."""
    index = -1
    async for whole in _wholes(pieces):
        index += 1
        value = msgspec.json.decode(whole)
        field = next(name for name in ITEMS if name in value)
        items = value.pop(field)
        parts = [write_quickly(value), f"{field}:\n".encode()] if index == 0 else []
        pace = Pace()
        for item in items:
            parts.append(write_quickly([item]))
            if pace.due:
                await pace.rest()
        yield b"".join(parts)


async def pretty_pieces(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A list that comes in pieces, as one JSON text with line breaks."""
    end = b"\n  ]\n}"
    index = -1
    async for whole in _wholes(pieces):
        index += 1
        text = msgspec.json.format(whole, indent=INDENT)
        if not text.endswith(end):
            continue  # the last piece has no items
        text = text[: -len(end)]
        yield text if index == 0 else b"," + text[text.index(b"[") + 1 :]
        await asyncio.sleep(0)
    yield end + b"\n"


async def _wholes(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Each piece as a document of its own: the first with all fields, the others with the items alone. An answer is cut
    between its items (api/listing.py)."""
    held: bytes | None = None  # only the last one is whole at its end
    async for piece in pieces:
        if held is None:
            held = piece
        else:
            yield held + b"]}"
            held = b'{"items":[' + piece.removeprefix(b",")
    if held is not None:
        yield held
