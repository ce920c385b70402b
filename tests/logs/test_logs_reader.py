"""Reading and following logs: parts that end anywhere, damage, tails, times, rotations under a reader's feet."""

import asyncio
import gzip
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.errors import Internal
from boxship.logs.lines import Decoder, place_behind, tail_place, time_of
from boxship.logs.options import LogSettings
from boxship.logs.reader import read
from boxship.logs.rotate import rotate
from boxship.spec.log import LogRecord

START = 1_795_000_000_000_000_000
SETTINGS = LogSettings(max_size=1, max_file=3)


def line(index: int, data: bytes = b"", *, stream: int = 1, partial: bool = False, step: int = 1_000_000) -> bytes:
    moment = START + index * step
    text = datetime.fromtimestamp(moment // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    head = f"{text}.{moment % 10**9:09d}+00:00 {'stdout' if stream == 1 else 'stderr'} {'P' if partial else 'F'} "
    return head.encode() + (data or b"line %d" % index) + b"\n"


async def gather(path: Path, **options: object) -> list[bytes]:
    return [record.data async for record in read(path, **options)]  # type: ignore[arg-type]


def named(first: int, last: int) -> list[bytes]:
    return [b"line %d\n" % index for index in range(first, last)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "container.log"


async def test_no_link_is_followed(log: Path, tmp_path: Path) -> None:
    """Who may write where logs lie must not be shown the machine's own files for it."""
    (tmp_path / "secret").write_bytes(line(0, b"secret"))
    log.symlink_to("secret")
    with pytest.raises(Internal):
        await gather(log)
    log.unlink()
    log.write_bytes(line(1))
    Path(f"{log}.1").symlink_to("secret")
    Path(f"{log}.2.gz.tmp").symlink_to("secret")
    with pytest.raises(OSError):
        rotate(log, LogSettings(max_size=1, max_file=4, compress=True))
    assert (tmp_path / "secret").read_bytes() == line(0, b"secret")
    assert not list(tmp_path.glob("*.gz"))


def test_head() -> None:
    (record,) = Decoder().feed(b"2026-11-22T06:01:11.532150429+00:00 stderr P text\n")
    assert record == LogRecord(2, 1_795_327_271_532_150_429, b"text", True)
    assert time_of(b"2026-11-22T08:01:11.532150429+02:00 stdout F x") == record.time
    assert time_of(b"2026-11-22T00:31:11.532150429-05:30 stdout F x") == record.time
    assert time_of(b"2026-11-22T06:01:11.532150429+00:00 stdin F x") is None
    assert time_of(b"2026-13-22T06:01:11.532150429+00:00 stdout F x") is None
    assert time_of(b"\0" * 60) is None


records = st.lists(
    st.tuples(
        st.sampled_from((1, 2)), st.booleans(), st.binary(max_size=40).map(lambda data: data.replace(b"\n", b""))
    ),
    max_size=20,
)


@given(records, st.lists(st.integers(1, 50), min_size=1, max_size=30))
@settings(max_examples=200, deadline=None)
def test_a_piece_may_end_anywhere(parts: list[tuple[int, bool, bytes]], sizes: list[int]) -> None:
    text = b"".join(
        line(index // 3, data or b"x", stream=stream, partial=partial)
        for index, (stream, partial, data) in enumerate(parts)
    )
    wanted = [
        LogRecord(stream, START + index // 3 * 1_000_000, (data or b"x") + (b"" if partial else b"\n"), partial)
        for index, (stream, partial, data) in enumerate(parts)
    ]
    parser, found, position, turn = Decoder(), [], 0, 0
    while position < len(text):
        size = sizes[turn % len(sizes)]
        found += parser.feed(text[position : position + size])
        position, turn = position + size, turn + 1
    assert found + parser.end_file() == wanted


@given(st.lists(st.binary(max_size=80), max_size=12), st.lists(st.integers(1, 64), min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_garbage_never_hides_good_lines(garbage: list[bytes], sizes: list[int]) -> None:
    text = b"".join(bad.replace(b"\n", b"") + b"\n" + line(index) for index, bad in enumerate(garbage))
    parser, found, position, turn = Decoder(), [], 0, 0
    while position < len(text):
        size = sizes[turn % len(sizes)]
        found += parser.feed(text[position : position + size])
        position, turn = position + size, turn + 1
    found += parser.end_file()
    good = [record.data for record in found if b"cannot be read" not in record.data]
    assert good == named(0, len(garbage))
    assert len(found) - len(good) == len(garbage), "each run of garbage has its marker"


async def test_a_cut_last_line_is_given_as_a_part(log: Path) -> None:
    log.write_bytes(line(0) + line(1)[:-3])
    assert await gather(log) == [b"line 0\n", b"line"]


async def test_missing_and_empty_logs(log: Path) -> None:
    assert await gather(log) == []
    log.touch()
    assert await gather(log, tail=5) == []
    assert await gather(log, since=5) == []


@given(st.integers(0, 12), st.integers(0, 30), st.booleans())
@settings(max_examples=150, deadline=None)
def test_tail(count: int, tail: int, cut: bool) -> None:
    async def check(folder: str) -> None:
        path = Path(folder) / "c.log"
        text = b"".join(line(index) for index in range(count))
        path.write_bytes(text[:-1] if cut else text)
        wanted = named(0, count)
        if cut and count:
            wanted[-1] = wanted[-1][:-1]
        assert await gather(path, tail=tail) == (wanted[-tail:] if tail else [])

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(check(folder))


async def test_tail_goes_back_over_rotated_and_compressed_files(log: Path) -> None:
    settings_ = LogSettings(max_size=1, max_file=5, compress=True)
    for part in range(4):
        log.write_bytes(b"".join(line(index) for index in range(part * 10, part * 10 + 10)))
        if part < 3:
            rotate(log, settings_)
    assert sorted(path.name for path in log.parent.iterdir()) == [
        "container.log",
        "container.log.1",
        "container.log.2.gz",
        "container.log.3.gz",
    ]
    assert await gather(log) == named(0, 40)
    for tail in (1, 9, 10, 11, 25, 39, 40, 41):
        assert await gather(log, tail=tail) == named(max(0, 40 - tail), 40), tail


def test_tail_reads_from_the_end() -> None:
    text = b"".join(line(index, b"x" * 200) for index in range(20_000))
    reads = []

    def read_at(offset: int, size: int) -> bytes:
        reads.append(size)
        return text[offset : offset + size]

    assert tail_place(read_at, len(text), 700) == (len(text) - 700 * len(line(0, b"x" * 200)), 0)
    assert sum(reads) < 700 * len(line(0, b"x" * 200)) + (1 << 16) + 1


pieces = st.lists(st.tuples(st.sampled_from((1, 2)), st.booleans()), max_size=30)


@given(pieces, st.integers(0, 12), st.integers(1, 120), st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_tail_counts_lines_and_not_pieces(
    parts: list[tuple[int, bool]], count: int, block_size: int, cut: bool
) -> None:
    lines = [line(index, stream=stream, partial=partial) for index, (stream, partial) in enumerate(parts)]
    text = b"".join(lines) + (line(99)[:20] if cut else b"")
    # a line of output begins where the one before it has ended, and open pieces at the end are one
    begins = [index for index in range(len(parts) + cut) if index == 0 or not parts[index - 1][1]]
    wanted = begins[-count] if 0 < count <= len(begins) else (0 if count else len(parts))
    place, lacking = tail_place(
        lambda offset, size: text[offset : offset + size], len(text), count, block_size=block_size
    )
    assert place == len(b"".join(lines[:wanted]))
    assert lacking == max(0, count - len(begins))


@given(pieces, st.integers(0, 12), st.integers(1, 120))
@settings(max_examples=200, deadline=None)
def test_a_place_in_a_stream_is_found_whatever_its_blocks(parts: list[tuple[int, bool]], count: int, size: int) -> None:
    lines = [line(index, stream=stream, partial=partial) for index, (stream, partial) in enumerate(parts)]
    text = b"".join(lines)
    blocks = [text[start : start + size] for start in range(0, len(text), size)]
    ends = [index + 1 for index in range(len(parts)) if not parts[index][1]]
    wanted = 0 if count == 0 else (ends[count - 1] if count <= len(ends) else len(parts))
    assert place_behind(blocks, count) == len(b"".join(lines[:wanted]))


@given(records, st.lists(st.integers(1, 200), min_size=1, max_size=20), st.booleans())
@settings(max_examples=200, deadline=None)
def test_merging_keeps_every_byte_in_its_order(
    parts: list[tuple[int, bool, bytes]], sizes: list[int], filtered: bool
) -> None:
    text = b"".join(
        line(index, data or b"x", stream=stream, partial=partial) for index, (stream, partial, data) in enumerate(parts)
    )
    single = Decoder().feed(text)
    merged, position, turn = [], 0, 0
    decoder = Decoder(merge=True, since=1 if filtered else 0)
    while position < len(text):
        size = sizes[turn % len(sizes)]
        merged += decoder.feed(text[position : position + size])
        position, turn = position + size, turn + 1
    assert decoder.end_file() == []

    def runs(found: list[LogRecord]) -> list[tuple[int, bytes]]:
        joined: list[tuple[int, bytes]] = []
        for record in found:
            if joined and joined[-1][0] == record.stream:
                joined[-1] = (record.stream, joined[-1][1] + record.data)
            else:
                joined.append((record.stream, record.data))
        return joined

    assert runs(merged) == runs(single)
    assert {record.time for record in merged} <= {record.time for record in single}
    assert all(record.partial != record.data.endswith(b"\n") for record in merged)


@given(st.integers(-2, 12), st.integers(-2, 12))
@settings(max_examples=60, deadline=None)
def test_since_and_until(since: int, until: int) -> None:
    async def check(folder: str) -> None:
        path = Path(folder) / "c.log"
        path.write_bytes(b"".join(line(index) for index in range(10)))
        found = await gather(path, since=START + since * 1_000_000, until=START + until * 1_000_000)
        assert found == named(max(0, since), max(max(0, since), min(10, until + 1)))

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(check(folder))


@pytest.mark.undisturbed
async def test_since_skips_most_of_a_big_file(log: Path) -> None:
    log.write_bytes(b"".join(line(index, b"x" * 300) for index in range(50_000)))
    begin = time.perf_counter()
    found = await gather(log, since=START + 49_990 * 1_000_000)
    assert len(found) == 10
    assert time.perf_counter() - begin < 0.1


async def test_streams(log: Path) -> None:
    log.write_bytes(line(0) + line(1, stream=2) + line(2))
    assert await gather(log, streams={2}) == [b"line 1\n"]
    assert await gather(log, streams={1}) == [b"line 0\n", b"line 2\n"]


class Writer:
    """Writes a log as conmon does, and goes on to a new file only when told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = 0
        self.reopen()

    def reopen(self) -> None:
        self.descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, count: int = 1) -> None:
        os.write(self.descriptor, b"".join(line(self.written + index) for index in range(count)))
        self.written += count


async def follow(log: Path, over: asyncio.Event, **options: object) -> list[bytes]:
    return await gather(log, follow=True, ended=over.is_set, **options)


@pytest.mark.parametrize("compress", [False, True])
async def test_follow_over_rotations_loses_and_repeats_nothing(log: Path, compress: bool) -> None:
    settings_ = LogSettings(max_size=1, max_file=50, compress=compress)
    writer, over = Writer(log), asyncio.Event()
    writer.write(5)
    task = asyncio.create_task(follow(log, over))
    for turn in range(30):
        writer.write(turn % 4)
        if turn % 2:
            await asyncio.sleep(0.001 * (turn % 7))
        await asyncio.to_thread(rotate, log, settings_)
        writer.write(2)  # still into the renamed file
        if turn % 3 == 0:
            await asyncio.sleep(0.03)
        os.close(writer.descriptor)
        writer.reopen()
        writer.write(1)
    over.set()
    assert await asyncio.wait_for(task, 10) == named(0, writer.written)
    os.close(writer.descriptor)


async def test_a_slow_reader_is_not_overtaken(log: Path) -> None:
    writer = Writer(log)
    writer.write(3)
    settings_ = LogSettings(max_size=1, max_file=20, compress=True)
    reading = read(log, follow=True, ended=lambda: True)
    found = [(await anext(reading)).data]
    for _ in range(6):  # it does not look meanwhile
        rotate(log, settings_)
        os.close(writer.descriptor)
        writer.reopen()
        writer.write(3)
    found += [record.data async for record in reading]
    assert found == named(0, writer.written)
    os.close(writer.descriptor)


async def test_follow_with_tail_gives_new_lines_at_once(log: Path) -> None:
    writer, over = Writer(log), asyncio.Event()
    writer.write(10)
    found: list[bytes] = []

    async def collect() -> None:
        async for record in read(log, follow=True, tail=2, ended=over.is_set):
            found.append(record.data)

    task = asyncio.create_task(collect())
    async with asyncio.timeout(5):
        while len(found) < 2:
            await asyncio.sleep(0.005)
        assert found == named(8, 10)
        writer.write(1)
        while len(found) < 3:
            await asyncio.sleep(0.005)
    over.set()
    await asyncio.wait_for(task, 5)
    assert found == named(8, 11)
    os.close(writer.descriptor)


async def test_follow_stops_at_until(log: Path) -> None:
    log.write_bytes(line(0))
    begin = time.monotonic()
    await asyncio.wait_for(gather(log, follow=True, ended=lambda: False, until=time.time_ns() + 50_000_000), 5)
    assert time.monotonic() - begin >= 0.05


async def test_follow_waits_for_a_log_that_is_not_there_yet(log: Path) -> None:
    over = asyncio.Event()
    task = asyncio.create_task(follow(log, over))
    await asyncio.sleep(0.01)
    log.write_bytes(line(0))
    over.set()
    assert await asyncio.wait_for(task, 5) == [b"line 0\n"]


async def test_readers_close_their_files(log: Path) -> None:
    log.write_bytes(b"".join(line(index) for index in range(100)))
    before = set(os.listdir("/proc/self/fd"))
    reading = read(log, follow=True, ended=lambda: False)
    await anext(reading)
    await reading.aclose()
    assert set(os.listdir("/proc/self/fd")) <= before


async def test_a_file_that_is_emptied_is_read_from_its_beginning(log: Path) -> None:
    over, found = asyncio.Event(), []
    log.write_bytes(line(0) + line(1)[:50])

    async def collect() -> None:
        async for record in read(log, follow=True, ended=over.is_set):
            found.append(record.data)

    task = asyncio.create_task(collect())
    async with asyncio.timeout(5):
        while not found:
            await asyncio.sleep(0.005)
        log.write_bytes(line(2))
        while len(found) < 2:
            await asyncio.sleep(0.005)
    over.set()
    await asyncio.wait_for(task, 5)
    assert found == [b"line 0\n", b"line 2\n"]


async def test_a_reader_that_does_not_follow_stops_at_what_was_there(log: Path) -> None:
    writer = Writer(log)
    writer.write(50_000)
    reading = read(log)
    found = [(await anext(reading)).data]
    writer.write(50_000)
    rotate(log, SETTINGS)
    found += [record.data async for record in reading]
    assert found == named(0, 50_000)
    os.close(writer.descriptor)


async def test_a_compressed_file_of_an_inode_used_again_is_not_taken_for_ours(log: Path) -> None:
    compressing = LogSettings(max_size=1, max_file=20, compress=True)
    writer, over = Writer(log), asyncio.Event()
    inodes = []
    for _ in range(6):  # the filesystem gives inodes of removed files out again
        writer.write(2)
        inodes.append(os.fstat(writer.descriptor).st_ino)
        rotate(log, compressing)
        os.close(writer.descriptor)
        writer.reopen()
    writer.write(2)
    task = asyncio.create_task(follow(log, over))
    for _ in range(3):
        await asyncio.sleep(0.02)
        rotate(log, compressing)
        os.close(writer.descriptor)
        writer.reopen()
        writer.write(2)
    over.set()
    assert await asyncio.wait_for(task, 10) == named(0, writer.written)
    os.close(writer.descriptor)


async def test_a_compression_that_stopped_repeats_nothing(log: Path) -> None:
    """After the compressed file has appeared, before the plain one is gone."""
    for part in range(3):
        (log if part == 2 else log.with_name(f"container.log.{2 - part}")).write_bytes(line(part))
    with gzip.open(log.with_name("container.log.2.gz"), "wb") as packed:
        packed.write(line(0))
    log.with_name("container.log.3.gz.tmp").write_bytes(b"half")
    assert await gather(log) == named(0, 3)
    rotate(log, LogSettings(max_size=1, max_file=5, compress=True))
    assert await gather(log) == named(0, 3)
    assert not list(log.parent.glob("*.tmp"))


async def test_a_damaged_compressed_file_ends_where_the_damage_is(log: Path) -> None:
    packed = gzip.compress(b"".join(line(index, os.urandom(30).hex().encode()) for index in range(30_000)))
    log.with_name("container.log.2.gz").write_bytes(packed[: len(packed) // 2])
    log.write_bytes(line(3000))
    found = await gather(log)
    assert found[-1] == b"line 3000\n"
    assert await gather(log, tail=1) == [b"line 3000\n"]


@pytest.mark.undisturbed
async def test_full_reads_are_fast(log: Path) -> None:
    log.write_bytes(b"".join(line(index // 60, b"x" * 100) for index in range(200_000)))
    size = log.stat().st_size
    for merge, least in ((False, 30), (True, 80)):  # MB/s; far below what a quiet machine does
        begin = time.perf_counter()
        total = 0
        async for record in read(log, merge=merge):
            total += len(record.data)
        rate = size / (time.perf_counter() - begin) / 1e6
        assert total == 200_000 * 101
        assert rate > least, f"{rate:.0f} MB/s"
