"""boxship rollout: status, history, undo, pause, resume and restart of what rolls out pods."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command, Flag
from boxship.cli.kube.config import CONFIG_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.kube.config import Object
    from boxship.cli.kube.naming import Named
    from boxship.cli.kube.server import Server

RESTARTED = "kubectl.kubernetes.io/restartedAt"
ACTIONS = ("history", "pause", "restart", "resume", "status", "undo")
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
COMMAND = Command(
    "history|pause|restart|resume|status|undo TYPE NAME | TYPE/NAME",
    (
        *CONFIG_FLAGS,
        Flag("--revision int", "history: show this revision in full"),
        Flag("--timeout duration", "status: longest wait (0: any)"),
        Flag("--to-revision int", "undo: go back to this revision (0: the one before)"),
        Flag("-w, --watch", "status: wait until it is done", True),
    ),
    least=2,
    most=None,
)


def run(call: Call) -> int:
    from boxship.cli.kube.naming import named
    from boxship.cli.kube.server import Server

    action = call.arguments[0]
    if action not in ACTIONS:
        raise Failure(f"unknown action {action!r}: it must be one of {', '.join(ACTIONS)}")
    server = Server(call)
    for each in named(server, call.arguments[1:]):
        if each.kind.qualified not in ("deployments.apps", "daemonsets.apps", "statefulsets.apps") or not each.name:
            raise Failure(f"no rollout for {each.kind.shown(each.name)}: name a deployment, statefulset or daemonset")
        _act(call, server, each, action)
    return 0


def _act(call: Call, server: Server, each: Named, action: str) -> None:
    path = each.kind.path(server.namespace, each.name)
    shown = each.kind.shown(each.name)
    query = {"fieldManager": "boxship-rollout"}
    if action == "status":
        _status(call, server, path, each)
        return
    if action in ("history", "undo"):
        from boxship.cli.kube.revisions import revisions, show, undo

        found = revisions(server, each)
        if action == "history":
            call.write(show(shown, found, call.options.number("revision")))
            return
        undo(server, each, found, call.options.number("to-revision"))
        call.line(f"{shown} rolled back")
        return
    if action == "restart":
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        patch: Object = {"spec": {"template": {"metadata": {"annotations": {RESTARTED: now}}}}}
        server.ask("PATCH", path, query, patch, media_type=STRATEGIC)
        call.line(f"{shown} restarted")
        return
    if each.kind.plural != "deployments":
        raise Failure(f"cannot {action} {shown}: only deployments can be paused")
    paused = bool(server.ask("GET", path)["spec"].get("paused"))
    if paused == (action == "pause"):
        raise Failure(f"{shown} is {'already paused' if paused else 'not paused'}")
    server.ask("PATCH", path, query, {"spec": {"paused": True if action == "pause" else None}}, media_type=MERGE)
    call.line(f"{shown} {'paused' if action == 'pause' else 'resumed'}")


def _status(call: Call, server: Server, path: str, each: Named) -> None:
    from boxship.cli.kube.progress import rollout_state

    seconds = call.options.number("timeout") / 1e9
    deadline = time.monotonic() + seconds if seconds else None
    said = ""
    version = ""
    while True:
        made = server.ask("GET", path)
        version = made["metadata"]["resourceVersion"]
        text, done = rollout_state(made)
        if text != said:
            call.line(text)
        said = text
        if done or not call.options.on("watch"):
            return
        _wait_for_change(server, path, each, version, deadline)


def _wait_for_change(server: Server, path: str, each: Named, version: str, deadline: float | None) -> None:
    """Until the object is another one. Raises Failure at the deadline."""
    left = 60 if deadline is None else int(deadline - time.monotonic())
    if left <= 0:
        raise Failure(f"timed out waiting for the rollout of {each.kind.shown(each.name)}")
    query = {"fieldSelector": f"metadata.name={each.name}", "resourceVersion": version, "timeoutSeconds": left}
    for event in server.events(path.rpartition("/")[0], query, "application/json"):
        if event["type"] == "DELETED":
            raise Failure(f"{each.kind.shown(each.name)} was deleted while we waited for it")
        return
