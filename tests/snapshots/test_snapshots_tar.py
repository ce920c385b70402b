"""The tar reader and writer against Python's tarfile and GNU tar, and against damage."""

import contextlib
import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snapshot_archives import CHARACTER, FOLDER, LINK, SYMLINK, archive, entry

from boxship.errors import Invalid, Unsupported
from boxship.snapshots.child.source import Source, Truncated
from boxship.snapshots.child.tarread import Entry, Reader, parse_pax, parse_time
from boxship.snapshots.child.tarwrite import format_time, make_header


def read(data: bytes, step: int = 700) -> list[tuple[Entry, bytes]]:
    """All entries with their stored data, out of small pieces."""
    source = Source(iter([data[at : at + step] for at in range(0, len(data), step)]))
    reader = Reader(source)
    return [(found, b"".join(bytes(piece) for piece in reader.data())) for found in reader]


NAMES = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0/"), min_size=1, max_size=150)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
TIMES = st.integers(-(10**19), 10**20)
KEYS = NAMES.filter(lambda name: "=" not in name)
XATTRS = st.dictionaries(KEYS.map("user.{}".format), st.binary(min_size=1), max_size=3)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    PATHS,
    st.sampled_from("02345"),
    st.integers(0, 0o7777),
    st.integers(0, 2**32 - 2),
    st.integers(0, 2**32 - 2),
    TIMES,
    PATHS,
    XATTRS,
)
def test_what_is_written_is_read(
    name: str, kind: str, mode: int, uid: int, gid: int, mtime: int, link: str, xattrs: dict[str, bytes]
) -> None:
    raw_name = name.encode() + (b"/" if kind == "5" else b"")
    raw_link = link.encode() if kind == "2" else b""
    data = b"data" if kind == "0" else b""
    device = (259, 70000) if kind in "34" else (0, 0)
    header = make_header(raw_name, kind.encode(), mode, uid, gid, len(data), mtime, raw_link, device, xattrs)
    assert len(header) % 512 == 0
    ((found, stored),) = read(header + data.ljust(512 if data else 0, b"\0") + bytes(1024))
    assert (found.name, found.kind, found.mode) == (raw_name.decode(), kind, mode)
    assert (found.uid, found.gid, found.mtime, found.link) == (uid, gid, mtime, raw_link.decode())
    assert (found.xattrs, stored, found.size) == (xattrs, data, len(data))
    assert (found.major, found.minor) == device
    if mtime >= 0:
        with tarfile.open(fileobj=io.BytesIO(header + data.ljust(512, b"\0") + bytes(1024))) as tar:
            (other,) = tar.getmembers()
        assert (other.name, other.mode, other.uid, other.gid) == (raw_name.decode().rstrip("/") or "", mode, uid, gid)


@given(PATHS, st.integers(0, 2**21), st.integers(0, 2**33), PATHS, st.sampled_from(["gnu", "pax", "ustar"]))
def test_what_tarfile_writes_is_read(name: str, uid: int, mtime: int, link: str, form: str) -> None:
    formats = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT, "ustar": tarfile.USTAR_FORMAT}
    try:
        data = archive(
            entry(name, b"x" * 600, uid=uid, mtime=mtime),
            entry(name + "2", type=SYMLINK, linkname=link),
            form=formats[form],
        )
    except ValueError:  # ustar cannot say it
        return
    (first, stored), (second, _) = read(data)
    assert (first.name, first.uid, first.mtime, stored) == (name, uid, mtime * 10**9, b"x" * 600)
    assert (second.name, second.kind, second.link) == (name + "2", "2", link)


@given(TIMES)
def test_times_survive(nanoseconds: int) -> None:
    assert parse_time(format_time(nanoseconds), "x") == nanoseconds


@given(st.dictionaries(KEYS, st.binary(min_size=1), max_size=5))
def test_pax_records_survive(values: dict[str, bytes]) -> None:
    from boxship.snapshots.child.tarwrite import _record

    records: dict[str, bytes] = {}
    parse_pax(b"".join(_record(key.encode(), value) for key, value in values.items()), records, "x")
    assert records == values


@given(st.binary(max_size=200))
def test_pax_rubbish_is_invalid(data: bytes) -> None:
    try:
        parse_pax(data, {}, "x")
    except Invalid as error:
        assert "extended header" in str(error)


def sample() -> bytes:
    return archive(
        entry("folder", type=FOLDER),
        entry("folder/" + "long" * 60, b"some data" * 100, mtime=1.5, uid=3_000_000),
        entry("link", type=LINK, linkname="folder/" + "long" * 60),
        entry("device", type=CHARACTER, devmajor=1, devminor=3),
    )


@settings(max_examples=300)
@given(st.integers(0, len(sample()) - 1), st.binary(min_size=1, max_size=20))
def test_damage_is_said_and_never_crashes(at: int, patch: bytes) -> None:
    data = bytearray(sample())
    data[at : at + len(patch)] = patch
    with contextlib.suppress(Invalid, Unsupported, Truncated):
        read(bytes(data))


@given(st.integers(1, len(sample()) - 1025))
def test_truncation_is_noticed_within_entries(size: int) -> None:
    data = sample()[:size]
    try:
        entries = read(data)
    except (Truncated, Invalid):
        return
    end = sample().index(b"device\0") + 512
    assert size % 512 == 0 or size > end  # at the end of an entry: other tar programs end there quietly too
    assert len(entries) == 4 or size < end


def test_numbers_beyond_octal() -> None:
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        ((found, _),) = read(archive(entry("x", type=FOLDER, uid=2**31, gid=2**32 - 2, mtime=-5), form=form))
        assert (found.uid, found.gid, found.mtime) == (2**31, 2**32 - 2, -5 * 10**9)


def test_owner_out_of_range_is_invalid() -> None:
    with pytest.raises(Invalid, match="owner 4294967295 is out of range"):
        read(archive(entry("x", uid=2**32 - 1)))


@pytest.mark.parametrize(
    "options", [["--format=gnu"], *(["--format=pax", f"--sparse-version={v}"] for v in ("0.0", "0.1", "1.0"))]
)
def test_sparse_files_of_gnu_tar(tmp_path: Path, options: list[str]) -> None:
    with open(tmp_path / "holes", "wb") as file:
        for number in range(30):
            file.seek(number * 1_000_000)
            file.write(b"piece%d" % number)
        file.truncate(50_000_000)
    data = subprocess.check_output(["tar", "-C", str(tmp_path), *options, "-S", "-cf", "-", "holes"])
    assert len(data) < 500_000
    ((found, stored),) = read(data, 65536)
    assert (found.name, found.size, found.kind) == ("holes", 50_000_000, "0")
    assert found.sparse is not None
    whole = (tmp_path / "holes").read_bytes()
    at = 0
    for offset, length in found.sparse:
        assert stored[at : at + length] == whole[offset : offset + length]
        at += length


def test_extended_headers_have_a_limit() -> None:
    header = bytearray(make_header(b"x", b"x", 0, size=5 << 20))
    with pytest.raises(Invalid, match="extended header of 5242880 bytes"):
        read(bytes(header))


def test_unknown_kinds_are_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="entry 'odd' of type 'Q'"):
        read(make_header(b"odd", b"Q", 0))


def test_no_archive_at_all() -> None:
    with pytest.raises(Invalid, match="no tar archive"):
        read(os.urandom(511) + b"x" + bytes(2048))
    assert read(b"") == []
    assert read(bytes(10240)) == []


def test_old_folders_and_raw_bytes() -> None:
    header = make_header(b"old/", b"0", 0o755)
    ((found, _),) = read(header)
    assert found.kind == "5"
    ((found, _),) = read(make_header(b"\xff\xfe", b"0", 0o755))
    assert os.fsencode(found.name) == b"\xff\xfe"


def pieces(data: bytes) -> Iterator[bytes]:
    yield data


def test_source_reads_exactly() -> None:
    source = Source(iter([b"ab", b"cdef", b"g"]))
    assert (source.read(3), source.read(3)) == (b"abc", b"def")
    with pytest.raises(Truncated):
        source.read(2)
    assert Source(pieces(b"")).read(5) == b""
