"""kill -9 in the middle of loads and removals: what was answered is there, and nothing is left over."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from images_kit import Room

from boxship.store.sqlite import SqliteStore


def test_kill_while_loading_and_removing(tmp_path: Path) -> None:
    for number in range(5):
        command = [sys.executable, str(Path(__file__).with_name("images_child.py")), str(tmp_path)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        lines = []
        for line in child.stdout:
            lines.append(line)
            if len(lines) == 3 + 2 * number:
                os.kill(child.pid, signal.SIGKILL)
        child.wait()
        asyncio.run(check(tmp_path, [line.split() for line in lines if line.endswith("\n")]))


async def check(root: Path, answered: list[list[str]]) -> None:
    store = await SqliteStore.open(root / "state.db")
    room = await Room(root, store).open()
    await room.assert_no_waste()
    for _, name in answered:
        await room.images.resolve(name)
    for image in await room.images.list():
        await room.images.resolve(image.id)
    await room.close()
    await store.close()
