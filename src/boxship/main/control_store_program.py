"""`boxship-control store …`: looks after a store that no control plane has open, or that several may have (etcd).

The options are boxship-control's own: --store and its TLS files, or --data-root for the store that lies there.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from boxship.errors import BoxshipError, Invalid
from boxship.main.control_options import ControlOptions, history_seconds, parse_arguments
from boxship.main.control_store import compact, files_of
from boxship.store import Store
from boxship.store.backup import back_up_to, check
from boxship.store.opening import open_store, parse, restore_store


def run(arguments: Sequence[str]) -> None:
    """Do what the arguments behind `store` say. Ends with status 1 and one line where it cannot."""
    known, rest = _parser().parse_known_args(arguments)
    try:
        options = parse_arguments(rest)
        asyncio.run(_do(known, options))
    except BoxshipError as error:
        print(f"boxship-control: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="boxship-control store",
        description="Look after the store of a control plane. Further options, as boxship-control has them: "
        "--store, --store-ca, --store-cert, --store-key, --data-root, --config.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("status", help="what the store says of itself, as JSON")
    backup = verbs.add_parser("backup", help="write what is stored into a file")
    backup.add_argument("file", help="the backup")
    restore = verbs.add_parser("restore", help="fill a new store out of a backup")
    restore.add_argument("file", help="the backup")
    compaction = verbs.add_parser("compact", help="forget history, and give its space back")
    compaction.add_argument("--keep", default="", metavar="DURATION", help="forget what is older")
    compaction.add_argument("--before", default="", metavar="REVISION", help="forget changes before this revision")
    compaction.add_argument("--shrink", action="store_true", help="give the space back to the disk")
    return parser


async def _do(known: argparse.Namespace, options: ControlOptions) -> None:
    files = files_of(options)
    if known.verb == "restore":
        head, _ = check(Path(known.file))
        count = await restore_store(Path(known.file), options.store, files=files)
        print(json.dumps({"entries": count, "revision": head.revision, "store": options.store}))
        return
    kind, place = parse(options.store)
    if kind == "memory" or (kind == "sqlite" and not Path(place).exists()):
        raise Invalid(f"cannot use the store {options.store}: there is none")
    store = await open_store(options.store, history_seconds=history_seconds(options), files=files)
    try:
        await _look_after(store, known)
    finally:
        await store.close()


async def _look_after(store: Store, known: argparse.Namespace) -> None:
    if known.verb == "backup":
        await back_up_to(store, Path(known.file))
        head, count = check(Path(known.file))
        print(json.dumps({"entries": count, "revision": head.revision, "file": known.file}))
        return
    if known.verb == "compact":
        await compact(store, known.keep, known.before, known.shrink)
    print(msgspec.json.encode(await store.status()).decode())
