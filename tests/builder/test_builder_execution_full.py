"""Steps on a full disk: told as that, nothing half-made is left, and there is room again afterwards."""

import os

import pytest
from execution_kit import archive, context, open_bench

from boxship.builder.operations import StepFailed
from boxship.errors import BoxshipError, Exhausted


async def test_a_full_disk(private_mounts: None) -> None:
    async with open_bench(disk_bytes=28 << 20) as bench:
        folder = context(bench.home, {"big": os.urandom(9 << 20), "small": "s"})
        free = os.statvfs(bench.home).f_bavail
        with pytest.raises(Exhausted, match="No space left"):  # twice as much is needed: the files and their archive
            await bench.copy_from(folder, "big", to="/n/")
        with pytest.raises(Exhausted, match="No space left"):
            await bench.copy_from(folder, "big", to="/n/", unpack=True)
        with pytest.raises(StepFailed):
            await bench.run("/bin/sh", "-c", "head -c 100000000 /dev/zero > /big")
        with pytest.raises(BoxshipError, match="No space left"):
            await bench.run("/bin/sh", "-c", "head -c 11000000 /dev/urandom > /big")
        data = archive(("f", "x" * (9 << 20)))
        (folder / "big").unlink()
        (folder / "a.tar").write_bytes(data)
        with pytest.raises(Exhausted, match="No space left"):
            await bench.copy_from(folder, "a.tar", to="/n/", unpack=True)
        (folder / "a.tar").unlink()
        tree = await bench.copy_from(folder, "small", to="/n/")
        assert await bench.text(tree, "/n/small") == "s"
        await bench.snapshots.close()
        assert os.statvfs(bench.home).f_bavail > free
