"""Archives that unpack to far more than they look like, and codecs that the child program has to find by itself."""

import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from backports import zstd
from snapshot_archives import FOLDER, archive, chain_id, entry, stream

from boxship.errors import Invalid
from boxship.snapshots import Snapshots

MEBIBYTE = 1 << 20


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Snapshots]:
    made = Snapshots(tmp_path / "snapshots", mount_points=())
    await made.recover(())
    yield made
    await made.close()


async def test_files_have_a_limit_and_holes_do_not_count(room: Snapshots) -> None:
    pattern = archive(entry("a", b"pattern!" * (MEBIBYTE // 4)), entry("b", b"x" * 100))
    with pytest.raises(Invalid, match="more than 1048576 bytes"):
        await room.apply(chain_id(1), None, stream(pattern), limit_bytes=MEBIBYTE)
    many = archive(*(entry(str(number), b"x" * 30_000) for number in range(40)))
    with pytest.raises(Invalid, match="more than 1048576 bytes"):
        await room.apply(chain_id(1), None, stream(many), limit_bytes=MEBIBYTE)
    assert room.layers() == []
    holes = archive(entry("a", bytes(8 * MEBIBYTE)), entry("b", b"x" * 100))
    await room.apply(chain_id(1), None, stream(holes), limit_bytes=MEBIBYTE)
    await room.apply(chain_id(2), None, stream(pattern), limit_bytes=3 * MEBIBYTE)
    await room.apply(chain_id(3), None, stream(pattern))


def unpack_with(limits: str, data: bytes, folder: Path) -> str:
    """Unpack in a program of its own with smaller limits; what it said."""
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); sys.path += sys.argv[2:3]\n"
        "from boxship.snapshots.child import unpack, source\n"
        f"{limits}\n"
        "data = source.open_source(0); os.chroot(sys.argv[3]); os.chdir('/')\n"
        "try: unpack.Unpacker().run(data)\n"
        "except Exception as error: print(error)\n"
    )
    places = [str(Path(__file__).parents[2] / "src"), "", str(folder)]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *places], input=data, capture_output=True, check=True
    )
    return done.stdout.decode()


def test_entries_and_folders_have_limits(tmp_path: Path) -> None:
    files = archive(*(entry(f"f{number}") for number in range(10)))
    assert "more than 9 entries" in unpack_with("unpack._ENTRY_LIMIT = 9", files, tmp_path)
    assert unpack_with("unpack._ENTRY_LIMIT = 10", files, tmp_path) == ""
    folders = archive(*(entry(f"d{number}", type=FOLDER) for number in range(10)))
    assert "too many folders" in unpack_with("unpack._FOLDER_LIMIT = 9", folders, tmp_path)
    wide = entry("d", type=FOLDER)
    wide[0].pax_headers = {"SCHILY.xattr.user.x": "y" * 1000}
    assert "too many folders" in unpack_with("unpack._FOLDER_BYTES = 900", archive(wide), tmp_path)


async def test_zstd_needs_no_program(room: Snapshots) -> None:
    plain = archive(entry("file", b"0123456789abcdef" * 100_000), entry("other", b"x"))
    diff_id = f"sha256:{hashlib.sha256(plain).hexdigest()}"
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00note"
    packed = zstd.compress(plain[:70_000]) + skippable + zstd.compress(plain[70_000:])
    for number, data in enumerate((zstd.compress(plain), packed, skippable + packed), 1):
        await room.apply(chain_id(number), None, stream(data), diff_id=diff_id)
        assert (room._layout.layer(chain_id(number)) / "fs/other").read_bytes() == b"x"
    with pytest.raises(Invalid, match=r"too early"):
        await room.apply(chain_id(9), None, stream(packed[:-50]))
    with pytest.raises(Invalid, match=r"decompress the zstd"):
        await room.apply(chain_id(9), None, stream(packed[:60] + bytes(50) + packed[110:]))
    assert len(room.layers()) == 3
