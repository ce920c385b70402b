"""A process that loads, tags and removes images as fast as it can; its parent kills it."""

import asyncio
import sys
from pathlib import Path

from images_kit import Room, simple

from boxship.spec.reference import parse
from boxship.store.sqlite import SqliteStore


async def main(root: Path) -> None:
    room = await Room(root, await SqliteStore.open(root / "state.db", backup=False)).open()

    async def work(number: int) -> None:
        count = 0
        while True:
            count += 1
            name = f"app{number}:{count % 3}"
            [loaded] = await room.load(simple(name, b"%d" % (count % 4))[0])
            await room.images.tag(name, parse(f"other:{number}"))
            print(loaded.image_id, f"other:{number}", flush=True)
            await room.images.remove(name)

    await asyncio.gather(*(work(number) for number in range(3)))


asyncio.run(main(Path(sys.argv[1])))
