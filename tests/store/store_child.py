"""A process that commits as fast as it can and says what was acknowledged; its parent kills it."""

import asyncio
import sys
from pathlib import Path

from boxship.store import Put
from boxship.store.sqlite import SqliteStore


async def main(path: Path, name: str) -> None:
    store = await SqliteStore.open(path, history_limit=500, backup=False)

    async def commit(writer: int) -> None:
        count = 0
        while True:
            count += 1
            key = f"{name}/{writer}/{count % 50:02}"
            revision = await store.commit(Put(key, b"%d" % count), Put(f"{key}/twin", b"%d" % count))
            sys.stdout.write(f"{revision} {key} {count}\n")
            sys.stdout.flush()

    await asyncio.gather(*(commit(writer) for writer in range(4)))


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
