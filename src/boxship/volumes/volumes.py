"""Named volumes: folders under the data root, and filesystems that are mounted while a container uses them.

The record in the store comes before the folder and goes after it, so a crash leaves nothing that recovery does not
finish. A folder without a record is adopted, never deleted: it may be a user's only copy. Who may remove a volume is
the engine's affair.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from boxship.errors import Conflict, Exhausted, Internal, NotFound
from boxship.store import Delete, Put, Store
from boxship.sys.mount import mounted_under, unmount
from boxship.volumes.model import LOCAL, Record, Volume, check_driver, check_name, check_options
from boxship.volumes.places import Places, mount_options_volume, pin_subpath
from boxship.volumes.program import copy_tree, measure, remove_tree

PREFIX = "volumes/"


class Volumes:
    """All volumes under one folder. Call `recover` before anything else, except on an empty root."""

    def __init__(self, root: Path, store: Store) -> None:
        self._places = Places(root)
        self._store = store
        self._records: dict[str, Record] = {}
        self._users: dict[str, set[str]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._remover = ThreadPoolExecutor(1, thread_name_prefix="volumes")

    async def recover(self, users: Collection[str] = ()) -> None:
        """Load the records and finish what a crash cut off; only `users` (ids of running containers) hold mounts."""
        self._places.make()
        snapshot = await self._store.list(PREFIX)
        self._records = {
            entry.key.removeprefix(PREFIX): msgspec.json.decode(entry.value, type=Record) for entry in snapshot.entries
        }
        self._users.clear()
        for path in self._places.leftovers(users):
            await asyncio.to_thread(self._release_pin, path)
        for name in self._places.names():
            if name not in self._records:
                await self._save(name, Record(self._places.created_at(name)))
        mounted = {info.target for info in mounted_under(self._places.root)}
        for name, record in list(self._records.items()):
            await self._recover_one(name, record, set(users), str(self._places.data(name)) in mounted)
        for path in self._places.trash():
            self._remover.submit(remove_tree, path)

    async def _recover_one(self, name: str, record: Record, users: set[str], mounted: bool) -> None:
        staying = tuple(user for user in record.users if user in users)
        if mounted and (record.removing or not staying):
            await asyncio.to_thread(unmount, self._places.data(name))
        if record.removing:
            await self._finish_removal(name)
            return
        self._places.make_volume(name)
        self._places.discard_staged(name)
        if staying != record.users:
            await self._save(name, msgspec.structs.replace(record, users=staying))
        if staying:
            self._users[name] = set(staying)
            if not mounted:
                await asyncio.to_thread(mount_options_volume, self._places.data(name), record.options)

    async def close(self) -> None:
        """Finish deleting. Mounts stay: running containers need them."""
        await asyncio.to_thread(self._remover.shutdown)

    # what users see

    async def create(
        self,
        name: str | None = None,
        driver: str = LOCAL,
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """A new volume, with a random name where none is given; the one that is there where the name is taken."""
        name = name or secrets.token_hex(32)
        check_name(name)
        check_driver(name, driver)
        async with self._lock(name):
            if name in self._records:
                return self.get(name)
            record = Record(time.time_ns(), dict(options or {}), dict(labels or {}))
            check_options(name, record.options)
            await self._save(name, record)
            try:
                self._places.make_volume(name)
            except OSError as error:
                await self._store.commit(Delete(PREFIX + name))
                del self._records[name]
                raise Exhausted(f"create {name}: {error.strerror}") from error
            return self.get(name)

    def get(self, name: str) -> Volume:
        """The volume. NotFound with Docker's text."""
        record = self._records.get(name)
        if record is None or record.removing:
            raise NotFound(f"get {name}: no such volume")
        return Volume(name, str(self._places.data(name)), record.created_at, LOCAL, record.options, record.labels)

    def list(self) -> list[Volume]:
        """All volumes, by name."""
        return [self.get(name) for name, record in sorted(self._records.items()) if not record.removing]

    async def remove(self, name: str) -> None:
        """Take a volume and its data away. Whether a container has it is the engine's check; a mount in use refuses."""
        self.get(name)
        async with self._lock(name):
            record = self._records.get(name)
            if record is None:
                return
            if self._users.get(name):
                raise Conflict(f"remove {name}: volume is in use - [{', '.join(sorted(self._users[name]))}]")
            await self._save(name, msgspec.structs.replace(record, removing=True))
            await self._finish_removal(name)

    async def _finish_removal(self, name: str) -> None:
        gone = self._places.discard(name)
        await self._store.commit(Delete(PREFIX + name))
        self._records.pop(name, None)
        self._locks.pop(name, None)
        if gone is not None:
            self._remover.submit(remove_tree, gone)

    async def usage(self, name: str) -> int:
        """Bytes on the device, as du counts; other filesystems that are mounted in it do not count."""
        self.get(name)
        return await measure(self._places.data(name))

    async def is_empty(self, name: str) -> bool:
        """Whether there is nothing in the volume. One whose filesystem is not mounted now counts as filled."""
        self.get(name)
        if self._records[name].mounted_by_options and not self._users.get(name):
            return False
        with os.scandir(self._places.data(name)) as entries:
            return next(entries, None) is None

    # what containers do with them

    async def mount(self, name: str, user: str, *, subpath: str = "") -> Path:
        """The host path of the volume's data, mounted for `user` until `release`; idempotent.

        With `subpath` the path of that part of it, resolved inside the volume and pinned, so that no later change of
        a link moves it. NotFound where it does not exist.
        """
        self.get(name)
        async with self._lock(name):
            record = self._records[name]
            users = self._users.setdefault(name, set())
            if record.mounted_by_options and user not in record.users:
                if not users:
                    await asyncio.to_thread(mount_options_volume, self._places.data(name), record.options)
                await self._save(name, msgspec.structs.replace(record, users=(*record.users, user)))
            users.add(user)
            if not subpath:
                return self._places.data(name)
            return await asyncio.to_thread(pin_subpath, self._places, name, user, subpath)

    async def release(self, name: str, user: str) -> None:
        """`user` no longer needs the volume; idempotent, also for a volume that is gone."""
        async with self._lock(name):
            for path in self._places.pins(name, user):
                await asyncio.to_thread(self._release_pin, path)
            users = self._users.get(name, set())
            users.discard(user)
            if not users:
                self._users.pop(name, None)
            record = self._records.get(name)
            if record is not None and user in record.users:
                left = tuple(other for other in record.users if other != user)
                if not left:
                    await asyncio.to_thread(unmount, self._places.data(name))
                await self._save(name, msgspec.structs.replace(record, users=left))

    async def populate(self, name: str, rootfs: Path, target: str) -> None:
        """Copy what the image has at `target` into an empty volume, with owners, modes and attributes; also the
        folder's own. A volume that is not empty, or a target that is no folder, stays as it is."""
        if not await self.is_empty(name):
            return
        async with self._lock(name):
            record = self._records[name]
            if record.mounted_by_options or self._users.get(name):
                await copy_tree(rootfs, target, self._places.data(name))
                return
            staged = self._places.make_staged(name)
            try:
                if await copy_tree(rootfs, target, staged):
                    os.rename(staged, self._places.data(name))  # the old one is empty: this replaces it at once
            except OSError as error:
                raise Internal(f"cannot fill volume {name}: {error.strerror}") from error
            finally:
                left = self._places.discard_staged(name)
                if left is not None:
                    self._remover.submit(remove_tree, left)

    @staticmethod
    def _release_pin(path: Path) -> None:
        unmount(path)
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    async def _save(self, name: str, record: Record) -> None:
        await self._store.commit(Put(PREFIX + name, msgspec.json.encode(record)))
        self._records[name] = record
