"""A process that commits as fast as it can, watches, and says what was acknowledged and seen; its parent kills it."""

import asyncio
import sys
from pathlib import Path

from boxship.store import Put, Store
from boxship.store.etcd.store import EtcdStore
from boxship.store.sqlite import SqliteStore


async def opened(place: str) -> Store:
    if place.startswith("http"):
        return await EtcdStore.open(place)
    return await SqliteStore.open(Path(place), history_limit=5000, backup=False)


async def main(place: str, name: str, position: int) -> None:
    store = await opened(place)

    async def commit(writer: int) -> None:
        count = 0
        while True:
            count += 1
            key = f"{name}/{writer}/{count % 50:02}"
            revision = await store.commit(Put(key, b"%d" % count), Put(f"{key}/twin", b"%d" % count))
            say(f"made {revision} {key} {count}")

    async def watch() -> None:
        async for change in store.watch("", after=position):
            say(f"seen {change.revision} {change.key} {(change.value or b'-').decode()}")

    await asyncio.gather(watch(), *(commit(writer) for writer in range(4)))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
