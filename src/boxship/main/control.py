"""boxship-control: takes its options, holds its roots, builds the control plane, serves until it is told to stop."""

import asyncio
import contextlib
import gc
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from boxship import __version__
from boxship.errors import BoxshipError
from boxship.main.control_options import ControlOptions, parse_arguments
from boxship.main.holding import alone
from boxship.sys.allocator import give_back_memory
from boxship.sys.threads import take_short_turns

logger = logging.getLogger("boxship-control")

PID_FILE = "boxship-control.pid"
# New objects before the collector looks at the young ones; how often that before it looks at the middle-aged, and at
# all. The second takes two milliseconds; the last a second where many pods are remembered, and finds next to nothing:
# cycles die young here.
COLLECT_AFTER = (5_000, 4, 2500)


def run() -> None:
    """Serve until SIGTERM or SIGINT; or, with `store`, `audit` or `simulate` as the first argument, do what that says
    instead. Ends with status 1 and one line for a bad start."""
    if sys.argv[1:2] == ["audit"]:
        from boxship.main import control_audit_program

        control_audit_program.run(sys.argv[2:])
        return
    if sys.argv[1:2] == ["simulate"]:
        from boxship.main.simulating import program

        program.run(sys.argv[2:])
        return
    if sys.argv[1:2] == ["store"]:
        from boxship.main import control_store_program

        control_store_program.run(sys.argv[2:])
        return
    try:
        options = parse_arguments(sys.argv[1:])
        logging.basicConfig(
            level=options.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        data, run_root = Path(options.data_root), Path(options.run_root)
        _allow_many_files()
        give_back_memory()
        take_short_turns()
        for folder, mode in ((data, 0o700), (run_root, 0o711)):
            folder.mkdir(parents=True, exist_ok=True, mode=mode)
        with alone(data, "boxship-control"), alone(run_root, "boxship-control"), _process_id(run_root / PID_FILE):
            _serve(options)
    except BoxshipError as error:
        print(f"boxship-control: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except BaseExceptionGroup as group:
        expected, rest = group.split(BoxshipError)
        for failure in _flat(expected):
            print(f"boxship-control: {failure}", file=sys.stderr)
        if rest is not None:
            raise
        raise SystemExit(1) from None


def _allow_many_files() -> None:
    """As many connections as the machine lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _flat(group: BaseException | None) -> Iterator[BaseException]:
    if isinstance(group, BaseExceptionGroup):
        for part in group.exceptions:
            yield from _flat(part)
    elif group is not None:
        yield group


@contextlib.contextmanager
def _process_id(path: Path) -> Iterator[None]:
    """Our process id in a file, with the time of our start, as long as we run."""
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    half = path.with_suffix(".new")
    half.write_text(json.dumps({"pid": os.getpid(), "started": started}))
    half.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _serve(options: ControlOptions) -> None:
    gc.disable()  # until all is made: nothing is thrown away meanwhile, and looking for it takes a tenth of the start
    import uvloop

    from boxship.main.control_plane import control_plane

    async def serve() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        async with control_plane(options):
            gc.enable()
            gc.collect()
            gc.freeze()  # what start-up made stays: the collector need not walk it in the middle of a request
            gc.set_threshold(*COLLECT_AFTER)
            logger.info("boxship-control %s serves on %s", __version__, options.listen)
            await stopped.wait()
            logger.info("boxship-control stops")

    uvloop.run(serve())
