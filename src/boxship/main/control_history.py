"""Looking back, and taking back: paths of the API for administrators alone, which `boxship cluster history`, `diff` and
`undo` use.

`GET /boxship/history` and `GET /boxship/diff`, `POST /boxship/undo`, each with `since` (a duration) and what it is
about: `resource` ("apps/v1/deployments"), `namespace`, `name`; without a resource all in the namespace. `undo` with
`dryRun=All` only says what it would do. Who may is decided before these functions are called; `undo`
writes as who asked.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.clock import Clock
from boxship.cluster.api.differences import operations, told
from boxship.cluster.api.history import History, Scope, since
from boxship.cluster.api.pace import Pace
from boxship.cluster.api.request import User
from boxship.cluster.api.undoing import Undoing
from boxship.cluster.objects.failure import bad_request
from boxship.doors.kube.errors import wrong_method
from boxship.doors.kube.site import OwnHandler
from boxship.errors import Invalid
from boxship.spec.duration import SECOND, parse_duration
from boxship.transport.exchange import Reply, Request

JSON = {"Content-Type": "application/json"}
AGENT = "boxship-undo"
SINCE = "1h"

encode = msgspec.json.Encoder().encode


def history_handlers(history: History, undoing: Undoing, catalog: Catalog, clock: Clock) -> Mapping[str, OwnHandler]:
    """What the door serves, by path."""

    async def tell(request: Request, _: User) -> Reply:
        scope, from_then = _asked(request, "GET", catalog, clock)
        return Reply(200, JSON, encode({"changes": await history.steps(scope, from_then)}))

    async def compare(request: Request, _: User) -> Reply:
        scope, from_then = _asked(request, "GET", catalog, clock)
        found = []
        pace = Pace()
        for turn in await history.turns(scope, from_then):
            if pace.due:
                await pace.rest()
            action = "deleted" if turn.after is None else "created" if turn.before is None else "changed"
            found.append(
                {
                    "action": action,
                    "resource": turn.resource.path,
                    "namespace": turn.namespace,
                    "name": turn.name,
                    "operations": operations(told(turn.before), told(turn.after)) if action == "changed" else [],
                }
            )
        return Reply(200, JSON, encode({"objects": found}))

    async def take_back(request: Request, user: User) -> Reply:
        scope, from_then = _asked(request, "POST", catalog, clock)
        dry_run = _word(request, "dryRun") == "All"
        done = await undoing.undo(scope, from_then, user, AGENT, dry_run=dry_run)
        return Reply(200, JSON, encode({"actions": done}))

    return {"/boxship/history": tell, "/boxship/diff": compare, "/boxship/undo": take_back}


def _word(request: Request, name: str) -> str:
    values = request.query.get(name)
    return values[-1] if values else ""


def _asked(request: Request, method: str, catalog: Catalog, clock: Clock) -> tuple[Scope, datetime]:
    """What a request is about, and since when. Raises Failure."""
    if request.method != method:
        raise wrong_method()
    path = _word(request, "resource")
    resource = catalog.at(path) if path else None
    if path and resource is None:
        raise bad_request(f"there is no resource {path!r}; it is named like apps/v1/deployments")
    name = _word(request, "name")
    if name and resource is None:
        raise bad_request("a name needs its resource")
    try:
        seconds = parse_duration(_word(request, "since") or SINCE) / SECOND
        from_then = since(clock, seconds)
    except (Invalid, OverflowError) as error:
        raise bad_request(f"since: {error}") from error
    return Scope(resource, _word(request, "namespace"), name), from_then
