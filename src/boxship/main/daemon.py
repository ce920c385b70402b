"""boxshipd: takes its options, enters its own mount namespace, builds the rooms, serves until it is told to stop."""

import asyncio
import contextlib
import gc
import grp
import hashlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import uvloop

from boxship import __version__
from boxship.doors.docker.builds import Builds
from boxship.doors.docker.door import Door
from boxship.engine import Engine
from boxship.engine.budget import BudgetSettings
from boxship.engine.clock import SystemClock
from boxship.engine.places import Places
from boxship.engine.system import Facts
from boxship.engine.tasks import Tasks
from boxship.errors import BoxshipError, Invalid
from boxship.main.building import building
from boxship.main.certificates import Certificates, tls_hosts
from boxship.main.holding import alone
from boxship.main.node import Node
from boxship.main.options import Options, parse_arguments, parse_pool, size_of
from boxship.main.pod_users import pool_of
from boxship.main.rooms import Rooms, make_rooms
from boxship.runtime.driver import Driver
from boxship.spec.container import LogPolicy
from boxship.store.sqlite import SqliteStore
from boxship.sys.mount import enter_private_namespace, join_mount_namespace
from boxship.sys.threads import take_short_turns
from boxship.transport.listen import Address, TlsAddress, UnixAddress
from boxship.transport.server import Server

logger = logging.getLogger("boxshipd")

INSTANCE_DIGITS = 8  # hexadecimal digits of the instance's name


def run() -> None:
    """Serve until SIGTERM or SIGINT; containers go on afterwards. Ends with status 1 and one line for a bad start."""
    try:
        options = parse_arguments(sys.argv[1:])
        logging.basicConfig(
            level=options.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        if os.geteuid() != 0:
            raise Invalid("cannot start boxshipd: it must run as root")
        data, run_root = Path(options.data_root), Path(options.run_root)
        for folder in (data, run_root):
            folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        take_short_turns()
        with alone(data, "boxshipd"), alone(run_root, "boxshipd"):
            _enter_mount_namespace(run_root)
            uvloop.run(_serve(options, data, run_root))
    except BoxshipError as error:
        print(f"boxshipd: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except BaseExceptionGroup as group:
        for failure in group.exceptions:
            print(f"boxshipd: {failure}", file=sys.stderr)
        if not all(isinstance(failure, BoxshipError) for failure in group.exceptions):
            raise
        raise SystemExit(1) from None


def _enter_mount_namespace(run_root: Path) -> None:
    """Into the namespace that the instance's living monitors keep, where all mounts still are; else into a new one."""
    for pid in Driver.living_monitors(run_root):
        try:
            join_mount_namespace(pid)
        except BoxshipError as error:  # it ended just now
            logger.debug("cannot join the mount namespace of process %d: %s", pid, error)
            continue
        return
    enter_private_namespace()


def instance_name(data: Path) -> str:
    """What tables, cgroups and interfaces of this instance carry: made once from the data root's path, then kept."""
    path = data / "instance"
    if not path.exists():
        name = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:INSTANCE_DIGITS]
        staged = path.with_suffix(".new")
        staged.write_text(name + "\n")
        staged.rename(path)
    return path.read_text().strip()


async def _serve(options: Options, data: Path, run_root: Path) -> None:
    certificates = Certificates(options, tls_hosts(options))  # wrong ones are told before anything starts
    addresses = [_address(host, options, certificates) for host in options.host]
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        engine, builds, node = await stack.enter_async_context(_engine(options, data, run_root, tasks, certificates))
        server = Server(Door(engine, builds, node).handle)
        await server.start(addresses)
        await node.start()
        keeping = Tasks(tasks).start("keep certificates", certificates.keep)
        gc.collect()
        gc.freeze()  # what start-up made stays: the collector need not walk it in the middle of a request
        logger.info("boxshipd %s serves on %s", __version__, ", ".join(options.host))
        await stopped.wait()
        logger.info("boxshipd stops; containers go on")
        keeping.cancel()
        await server.stop()
        await stack.aclose()


@contextlib.asynccontextmanager
async def _engine(
    options: Options, data: Path, run_root: Path, tasks: asyncio.TaskGroup, certificates: Certificates
) -> AsyncIterator[tuple[Engine, Builds, Node]]:
    """The rooms, built from the ground up and closed in reverse."""
    instance = instance_name(data)
    store = await SqliteStore.open(data / "state.db", reserve=True)
    try:
        rooms = make_rooms(options, data, run_root, instance, store, certificates)
        await rooms.content.recover()
        await rooms.driver.open()
        await rooms.networks.start()
        engine = _engine_on(rooms, options, tasks)
        await engine.start()
        if rooms.registry is not None:
            await rooms.registry.recover()
        else:
            await _keep_repositories(rooms)
        stack = contextlib.AsyncExitStack()
        builds = await stack.enter_async_context(building(options, rooms, tasks))
        # Every owner of blobs or layers recovers before this line, and so has claimed what its records name: the
        # images in engine.start(); then the registry; then the builder's cache.
        await rooms.garbage.sweep()
        guarded = Tasks(tasks)
        collecting = [
            guarded.start("collect garbage", rooms.garbage.run),
            guarded.start("remove what was never finished", rooms.garbage.expire),
            guarded.start("forget signatures of what is gone", rooms.images.signatures.run),
            guarded.start("let go of what unfinished pulls left", rooms.images.expire),
        ]
        node = Node(engine, rooms)
        try:
            if rooms.registry is not None:
                await rooms.registry.start(guarded)
            yield engine, builds, node
        finally:
            await node.stop()
            await stack.aclose()
            if rooms.registry is not None:
                await rooms.registry.stop()
            for task in collecting:
                task.cancel()
            await rooms.images.close()
            await engine.stop()
            await rooms.close()
    finally:
        await store.close()


async def _keep_repositories(rooms: Rooms) -> None:
    """Without the registry role: what was pushed when there was one stays, for when it is there again."""
    if not (await rooms.store.list("registry/", limit=1)).entries:
        return
    from boxship.registry.repositories import Repositories

    repositories = Repositories(rooms.store, rooms.garbage.owned("registry"))
    await repositories.load()  # claims what they name
    logger.info("%d repositories are kept and not served: there is no option registry", len(repositories))


def _engine_on(rooms: Rooms, options: Options, tasks: asyncio.TaskGroup) -> Engine:
    pools = [parse_pool(pool) for pool in options.address_pool]
    return Engine(
        store=rooms.store,
        content=rooms.content,
        garbage=rooms.garbage,
        images=rooms.images,
        snapshots=rooms.snapshots,
        volumes=rooms.volumes,
        networks=rooms.networks,
        driver=rooms.driver,
        places=Places(rooms.data, rooms.run_root),
        instance=rooms.instance,
        default_log=LogPolicy(options.log_driver, options.log_opt),
        facts=Facts(
            id=rooms.instance,
            data_root=str(rooms.data),
            labels=options.label,
            address_pools=tuple((pool.base, pool.size) for pool in pools),
            log_driver=options.log_driver,
        ),
        clock=SystemClock(),
        tasks=tasks,
        image_budget=BudgetSettings(limit=size_of(options, "unused_image_limit")),
        witness=rooms.registry.users_of if rooms.registry is not None else None,
        pod_users=pool_of(options.pod_users),
    )


def _address(host: str, options: Options, certificates: Certificates) -> Address:
    kind, _, rest = host.partition("://")
    if kind == "unix":
        return UnixAddress(Path(rest), int(options.socket_mode, 8), _group(options.socket_group))
    name, _, port = rest.rpartition(":")
    return TlsAddress(name.strip("[]"), int(port), certificates.listener(clients=True))


def _group(name: str) -> int | None:
    if not name:
        return None
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise Invalid(f"cannot use socket-group {name}: there is no such group") from error
