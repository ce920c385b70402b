"""Checksums of what steps read: what counts, what does not, what is read again, and what it costs."""

import asyncio
import marshal
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from execution_kit import Bench, archive, command, context, open_bench

from boxship.builder.execution import reading
from boxship.builder.execution.child.counting import RACY_NS
from boxship.builder.operations import CopySource, FolderTree, InlineFile, LayerTree, Selection
from boxship.errors import NotFound


@pytest.fixture
async def bench(private_mounts: None) -> AsyncIterator[Bench]:
    async with open_bench() as opened:
        yield opened


async def count(bench: Bench, folder: Path, *paths: str, parents: bool = False, **changes: object) -> str:
    patterns = changes.pop("patterns", ())
    selection = Selection(paths or ("",), **changes)  # type: ignore[arg-type]
    source = CopySource(FolderTree(folder, patterns), selection)  # type: ignore[arg-type]
    return await bench.execution.checksum(source, parents=parents)


async def test_what_counts_and_what_does_not(bench: Bench) -> None:
    folder = context(bench.home, {"f": "one", "d/g": "g", "d/h": "h"})
    os.symlink("f", folder / "l")
    seen = {await count(bench, folder)}

    async def changed() -> bool:
        digest = await count(bench, folder)
        new = digest not in seen
        seen.add(digest)
        return new

    assert not await changed()
    os.utime(folder / "f", (1, 1))
    os.utime(folder / "d", (1, 1))
    assert not await changed()
    folder.chmod(0o700)
    os.chown(folder / "f", 5, 5)
    assert not await changed()
    (folder / "f").write_text("two")
    assert await changed()
    (folder / "f").chmod(0o600)
    assert await changed()
    (folder / "d").chmod(0o700)
    assert await changed()
    (folder / "d/h").rename(folder / "d/i")
    assert await changed()
    (folder / "l").unlink()
    os.symlink("d", folder / "l")
    assert await changed()
    (folder / "empty").mkdir()
    assert await changed()
    os.mkfifo(folder / "p")
    assert await changed()
    os.setxattr(folder / "f", "user.x", b"1")
    assert await changed()
    (folder / "d/i").unlink()
    assert await changed()


async def test_only_what_is_selected_counts(bench: Bench) -> None:
    folder = context(bench.home, {"a.txt": "a", "b.md": "b", "d/x": "x", "d/y.md": "y"})
    of_text, of_folder = await count(bench, folder, "*.txt"), await count(bench, folder, "d")
    excluded = await count(bench, folder, "d", exclude=("*.md",))
    ignoring = await count(bench, folder, patterns=("**/*.md",))
    (folder / "b.md").write_text("changed")
    assert of_text == await count(bench, folder, "*.txt")
    assert of_folder == await count(bench, folder, "d")
    (folder / "d/y.md").write_text("changed")
    assert of_folder != await count(bench, folder, "d")
    assert excluded == await count(bench, folder, "d", exclude=("*.md",))
    assert ignoring == await count(bench, folder, patterns=("**/*.md",))
    assert await count(bench, folder, "none*") == await count(bench, folder, "nothing*")
    assert await count(bench, folder, "d/x", parents=True) != await count(bench, folder, "d/x")
    with pytest.raises(NotFound):
        await count(bench, folder, "b.md", patterns=("*.md",))


async def test_a_change_that_keeps_size_and_time_is_seen(bench: Bench) -> None:
    folder = context(bench.home, {"f": "one"})
    before = os.stat(folder / "f")
    first = await count(bench, folder)
    (folder / "f").write_text("two")
    os.utime(folder / "f", ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert await count(bench, folder) != first


async def test_unchanged_files_are_not_read_again(bench: Bench) -> None:
    folder = context(bench.home, {"f": "one", "g": "two"})
    await asyncio.to_thread(_wait_until_trusted, folder / "g")
    first = await count(bench, folder)
    (table,) = (bench.home / "builder" / "scans").iterdir()
    version, known = marshal.loads(table.read_bytes())
    known[""]["g"] = (*known[""]["g"][:-1], b"another digest")
    table.write_bytes(marshal.dumps((version, known)))
    believed = await count(bench, folder)
    assert believed != first, "the digest in the table was taken"
    os.utime(folder / "g")
    assert await count(bench, folder) == first, "a changed file is read again"


def _wait_until_trusted(path: Path) -> None:
    """Until a file's last change is so old that its digest is trusted."""
    while time.time_ns() <= os.stat(path).st_ctime_ns + RACY_NS:
        time.sleep(0.05)


async def test_the_table_may_be_damaged_or_gone(bench: Bench) -> None:
    folder = context(bench.home, {"f": "one"})
    first = await count(bench, folder)
    scans = bench.home / "builder" / "scans"
    (table,) = scans.iterdir()
    for content in (b"", b"garbage", b"\xe9" * 100, table.read_bytes()[:20]):
        table.write_bytes(content)
        assert await count(bench, folder) == first
    table.unlink()
    assert await count(bench, folder) == first


async def test_tables_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    scans = bench.home / "builder" / "scans"
    monkeypatch.setattr(reading, "TABLES", 3)
    monkeypatch.setattr(reading, "OWN_TABLES", 2)
    for number in range(6):
        await count(bench, context(bench.home, {"f": str(number)}))
    assert len(list(scans.iterdir())) == 3
    monkeypatch.setattr(reading, "TABLES", 100)
    own = bench.home / "builder" / "contexts"
    own.mkdir()
    for number in range(6):
        await count(bench, context(own, {"f": str(number)}))
    assert len(list(scans.iterdir())) == 5
    monkeypatch.setattr(reading, "TABLE_BYTES", 1)
    await count(bench, context(bench.home, {"f": "f"}))
    assert not list(scans.iterdir())
    scans.rmdir()
    await count(bench, context(bench.home, {"f": "f"}))


async def test_layers_are_counted_once(bench: Bench) -> None:
    tree = await bench.layer(LayerTree(), archive(("d/", ""), ("d/f", "f", 0o644, 5, 6)))
    source = CopySource(tree, Selection(("d",)))
    first = await bench.execution.checksum(source, parents=False)
    other = await bench.layer(LayerTree(), archive(("d/", ""), ("d/f", "f", 0o644, 7, 8)))
    assert first != await bench.execution.checksum(CopySource(other, Selection(("d",))), parents=False)
    unrelated = await bench.layer(tree, archive(("e", "e")))
    assert first == await bench.execution.checksum(CopySource(unrelated, Selection(("d",))), parents=False)
    assert len(list((bench.home / "builder" / "sums").iterdir())) == 3
    with pytest.raises(NotFound):
        await bench.execution.checksum(CopySource(tree, Selection(("none",))), parents=False)


async def test_inline_files(bench: Bench) -> None:
    one = CopySource(None, inline=InlineFile("n", b"x"))
    other = CopySource(None, inline=InlineFile("n", b"y"))
    assert await bench.execution.checksum(one, parents=False) != await bench.execution.checksum(other, parents=False)


async def test_listing_names_what_counts(bench: Bench) -> None:
    folder = context(bench.home, {"f": "one", "d/g": "g"})
    source = CopySource(FolderTree(folder), Selection(("",)))
    first = await bench.execution.listing(source, parents=False)
    assert set(first) == {"f", "d", "d/g"}
    (folder / "d/g").write_text("other")
    second = await bench.execution.listing(source, parents=False)
    assert {name for name in first if first[name] != second[name]} == {"d/g"}


@pytest.mark.undisturbed
async def test_checksums_asked_for_together_are_one_scan(bench: Bench) -> None:
    folder = context(bench.home, {f"f{number}": str(number) for number in range(50)})
    tree = FolderTree(folder)
    sources = [CopySource(tree, Selection((f"f{number}",))) for number in range(50)]
    missing = CopySource(tree, Selection(("none",)))
    started = time.monotonic()
    digests = await asyncio.gather(
        *(bench.execution.checksum(source, parents=False) for source in (*sources, missing)), return_exceptions=True
    )
    assert time.monotonic() - started < 2  # fifty children would take longer
    assert len(set(digests[:50])) == 50 and isinstance(digests[50], NotFound)


async def test_a_cancelled_checksum_does_not_take_others_along(bench: Bench) -> None:
    folder = context(bench.home, {"f": "one", "g": "two"})
    tree = FolderTree(folder)
    one = asyncio.ensure_future(bench.execution.checksum(CopySource(tree, Selection(("f",))), parents=False))
    other = asyncio.ensure_future(bench.execution.checksum(CopySource(tree, Selection(("g",))), parents=False))
    await asyncio.sleep(0.005)
    one.cancel()
    assert (await other).startswith("sha256:")
    assert (await asyncio.gather(one, return_exceptions=True))[0] is not None


async def test_deep_folders_are_refused_by_name(bench: Bench) -> None:
    folder = context(bench.home, {})
    here = os.getcwd()
    os.chdir(folder)
    for _ in range(900):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(here)
    with pytest.raises(Exception, match="nested"):
        await count(bench, folder)
    command("rm", "-rf", str(folder))


@pytest.mark.undisturbed
async def test_twenty_thousand_unchanged_files_cost_little(bench: Bench) -> None:
    folder = context(bench.home, {})
    for number in range(20_000):
        if number % 100 == 0:
            (folder / f"d{number // 100}").mkdir()
        (folder / f"d{number // 100}" / f"f{number}").touch()
    await asyncio.to_thread(_wait_until_trusted, folder / "d199" / "f19999")
    first = await count(bench, folder)
    costs = []
    for _ in range(3):
        started = time.monotonic()
        assert await count(bench, folder) == first
        costs.append(time.monotonic() - started)
    assert min(costs) < 1.0, costs  # 0.13 s where nothing else runs
