"""Looking after the control plane's store: paths of the API for a store that is in use, for administrators alone.

`GET /boxship/store/status`, `POST /boxship/store/backup` (the answer is the file), `POST /boxship/store/compact` with
`keep` (a duration) or `before` (a revision), and `shrink`. Who may is decided before these functions are called.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from boxship.cluster.api.request import User
from boxship.doors.kube.errors import wrong_method
from boxship.doors.kube.site import OwnHandler
from boxship.errors import Invalid
from boxship.main.control_options import ControlOptions
from boxship.spec.duration import SECOND, parse_duration
from boxship.store import Compacted, Store
from boxship.store.backup import back_up
from boxship.store.files import Files
from boxship.transport.exchange import Reply, Request

ROOT = "/boxship/store"
JSON = {"Content-Type": "application/json"}
STALL_SECONDS = 60.0  # that a reader of a backup may keep us waiting

encode = msgspec.json.Encoder().encode


def handlers(store: Store) -> Mapping[str, OwnHandler]:
    """What the door serves, by path."""

    async def tell(request: Request, _: User) -> Reply:
        _demand(request, "GET")
        return Reply(200, JSON, encode(await store.status()))

    async def backup(request: Request, _: User) -> Reply:
        _demand(request, "POST")
        return Reply(200, {"Content-Type": "application/gzip"}, back_up(store), STALL_SECONDS)

    async def forget(request: Request, _: User) -> Reply:
        _demand(request, "POST")
        query = {name: values[-1] for name, values in request.query.items()}
        await compact(store, query.get("keep", ""), query.get("before", ""), "shrink" in query)
        return Reply(200, JSON, encode(await store.status()))

    return {f"{ROOT}/status": tell, f"{ROOT}/backup": backup, f"{ROOT}/compact": forget}


def _demand(request: Request, method: str) -> None:
    if request.method != method:
        raise wrong_method()


async def compact(store: Store, keep: str, before: str, shrink: bool) -> None:
    """Forget history below the revision `before`, or older than `keep`. Raises Invalid."""
    if bool(keep) + bool(before) + shrink == 0:
        raise Invalid("cannot compact: say what to keep (a duration), or before which revision")
    if keep and before:
        raise Invalid("cannot compact: a duration and a revision say two things")
    if before:
        if not before.isdecimal():
            raise Invalid(f"cannot compact before {before!r}: write a revision")
        await store.compact(int(before))
    if keep:
        await _keep(store, keep)
    if shrink:
        await store.shrink()


async def _keep(store: Store, keep: str) -> None:
    try:
        revision = await store.revision_at(time.time() - parse_duration(keep) / SECOND)
    except Compacted:
        return  # all of it is younger
    # What the store held at that moment can still be asked for.
    await store.compact(revision + 1)


def files_of(options: ControlOptions) -> Files:
    """The TLS files for etcd."""
    return Files(*(Path(text) if text else None for text in (options.store_ca, options.store_cert, options.store_key)))
