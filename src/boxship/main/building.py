"""The builder with what it stands on: its executor, its cache, the contexts that clients send."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

from boxship.builder.builder import Builder, BuilderSettings
from boxship.builder.contexts import Contexts
from boxship.builder.execution import Execution
from boxship.builder.execution.settings import Settings
from boxship.builder.fetching import Downloads
from boxship.builder.repositories import Git
from boxship.doors.docker.builds import Builds
from boxship.main.fetching import WebFetcher
from boxship.main.options import Options, size_of
from boxship.main.remotes import remote_settings
from boxship.main.rooms import Rooms


@contextlib.asynccontextmanager
async def building(options: Options, rooms: Rooms, tasks: asyncio.TaskGroup) -> AsyncIterator[Builds]:
    """Recover the builder, after the engine and before the collector's sweep; at the end its builds are ended."""
    root = rooms.data / "builder"
    root.mkdir(exist_ok=True, mode=0o700)
    contexts = Contexts(root / "contexts")
    await contexts.recover()
    execution = Execution(
        root,
        rooms.run_root,
        content=rooms.content,
        snapshots=rooms.snapshots,
        driver=rooms.driver,
        networks=rooms.networks,
        instance=rooms.instance,
        settings=Settings(host_ca=options.host_ca),
    )
    await execution.recover()
    settings = remote_settings(options, os.environ)
    fetcher = WebFetcher(settings.proxies)
    fetched = Downloads(root / "fetched", contexts, fetcher, Git())
    await fetched.recover()
    builder = Builder(
        store=rooms.store,
        content=rooms.content,
        garbage=rooms.garbage.owned("build cache"),
        images=rooms.images,
        layers=rooms.snapshots,
        executor=execution,
        volumes=execution.caches,
        remote=rooms.remote,
        fetched=fetched,
        tasks=tasks,
        settings=BuilderSettings(cache_limit_bytes=size_of(options, "build_cache_limit")),
    )
    await builder.recover()
    try:
        yield Builds(builder, contexts)
    finally:
        await builder.close()
        await contexts.close()
        await fetcher.close()
