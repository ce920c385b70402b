"""Looks for damage in SQLite's write-ahead log before SQLite does.

SQLite takes the first frame with a wrong checksum as the end of the log and silently drops what follows. After a crash
that is right for the last transaction, which nobody was told of. But a later transaction is begun only when the one
before is on the disk: a wrong frame with a later transaction behind it is damage, and dropping it would lose what was
acknowledged. The format is public (sqlite.org/fileformat2.html, section 4). Reads only.
"""

import struct
from array import array
from pathlib import Path

HEADER_SIZE = 32  # bytes
FRAME_HEADER_SIZE = 24  # bytes
MAGIC = 0x377F0682  # the lowest bit says whether checksums are over big-endian words
MASK = 0xFFFFFFFF

Sums = tuple[int, int]


def find_damage(path: Path, page_size: int) -> str:
    """What is wrong with the log, or "" where nothing is, or only an end that was never acknowledged. `page_size` is
    the state file's."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ""
    if len(data) < HEADER_SIZE + FRAME_HEADER_SIZE:
        return ""
    magic, _, logged_size, _, *salts_and_sums = struct.unpack_from(">8I", data)
    salts = tuple(salts_and_sums[:2])
    big = bool(magic & 1)
    sums = _checksum(data[: HEADER_SIZE - 8], (0, 0), big)
    if magic & ~1 != MAGIC or tuple(salts_and_sums[2:]) != sums or logged_size != page_size:
        return _beyond(data, 0, page_size, struct.unpack_from(">2I", data, HEADER_SIZE + 8), "header")
    size = FRAME_HEADER_SIZE + page_size
    for index, start in enumerate(range(HEADER_SIZE, len(data) - size + 1, size)):
        _, _, *found = struct.unpack_from(">6I", data, start)
        sums = _checksum(data[start : start + 8], sums, big)
        sums = _checksum(data[start + FRAME_HEADER_SIZE : start + size], sums, big)
        if tuple(found) != (*salts, *sums):
            return _beyond(data, index, page_size, salts, f"frame {index + 1}")
    return ""


def _beyond(data: bytes, wrong: int, page_size: int, salts: tuple[int, ...], what: str) -> str:
    """Whether a whole transaction with the log's salts, and one more frame, come at or after the wrong frame."""
    size = FRAME_HEADER_SIZE + page_size
    ended = False
    for start in range(HEADER_SIZE + wrong * size, len(data) - size + 1, size):
        _, pages, *found = struct.unpack_from(">4I", data, start)
        if tuple(found) == salts:
            if ended:
                return f"its write-ahead log is damaged at {what}"
            ended = pages != 0
    return ""


def _checksum(data: bytes, sums: Sums, big: bool) -> Sums:
    words = array("I", data)
    if big != (struct.pack("=I", 1) == struct.pack(">I", 1)):
        words.byteswap()
    first, second = sums
    pairs = iter(words)
    for word, following in zip(pairs, pairs, strict=True):
        first = (first + word + second) & MASK
        second = (second + following + first) & MASK
    return first, second
