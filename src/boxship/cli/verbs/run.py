"""boxship run: create, attach, start, wait; the exit code is the container's."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.containers import REFUSED, make_container
from boxship.cli.create_flags import CREATE_FLAGS
from boxship.cli.daemon import DaemonError, Object
from boxship.cli.flags import Command, Flag
from boxship.errors import BoxshipError

COMMAND = Command(
    "IMAGE [COMMAND] [ARG...]",
    (
        *CREATE_FLAGS,
        Flag("-d, --detach", "Run container in background and print container ID"),
        Flag("--detach-keys string", "Override the key sequence for detaching a container"),
        Flag("--sig-proxy", "Proxy received signals to the process", True),
    ),
    least=1,
    most=None,
    interspersed=False,
    completes=("images", "commands"),
)
CANNOT_RUN, NOT_FOUND = 126, 127
MISSING_TEXTS = ("executable file not found", "no such file or directory", "system cannot find the file specified")
REFUSED_TEXTS = ("permission denied", "is a directory", "exec format error")


def run(call: Call) -> int:
    try:
        return _run(call)
    except DaemonError as error:
        raise Failure(str(error), start_failure_code(str(error))) from None
    except Failure:
        raise
    except BoxshipError as error:
        raise Failure(str(error), REFUSED) from None


def _run(call: Call) -> int:
    options = call.options
    detached = options.on("detach")
    if not detached:
        from boxship.cli.session import check_terminal

        check_terminal(options.on("interactive") and not options.texts("attach"), options.on("tty"))
    identifier, body = make_container(call, detached=detached)
    if detached:
        _start(call, identifier, body)
        call.line(identifier)
        return 0
    return _run_attached(call, identifier, body)


def _start(call: Call, identifier: str, body: Object) -> None:
    """Start; a container that cannot start is removed again when --rm asks for it, as the daemon never saw its end."""
    try:
        call.daemon.post(f"/containers/{identifier}/start")
    except DaemonError as error:
        if body["HostConfig"]["AutoRemove"]:
            _remove_quietly(call, identifier)
        raise Failure(str(error), start_failure_code(str(error))) from None


def _remove_quietly(call: Call, identifier: str) -> None:
    try:
        call.daemon.delete(f"/containers/{identifier}", {"v": True, "force": True})
    except DaemonError:
        return  # the daemon removed it itself


def start_failure_code(message: str) -> int:
    """Docker's exit code for a container that could not start: 127 not found, 126 cannot run, else 125."""
    lowered = message.lower()
    if any(text in lowered for text in MISSING_TEXTS):
        return NOT_FOUND
    return CANNOT_RUN if any(text in lowered for text in REFUSED_TEXTS) else REFUSED


def _run_attached(call: Call, identifier: str, body: Object) -> int:
    from boxship.cli.session import Session, resizer, signaller
    from boxship.cli.waiting import Wait

    options = call.options
    streams = {name: body[f"Attach{name.capitalize()}"] for name in ("stdin", "stdout", "stderr")}
    if not (streams["stdout"] or streams["stderr"]):
        call.line(identifier)
    keys = options.text("detach-keys")
    condition = "removed" if body["HostConfig"]["AutoRemove"] else "next-exit"
    path = f"/containers/{identifier}"
    attached = call.daemon.request(
        "POST",
        f"{path}/attach",
        {"stream": True, "detachKeys": keys or None, **{name: True for name, on in streams.items() if on}},
        headers={"Connection": "Upgrade", "Upgrade": "tcp"},
        own_connection=True,
    )
    session = Session(
        attached,
        tty=body["Tty"],
        stdin=streams["stdin"],
        detach_keys=keys,
        resize=resizer(call, path),
        proxy=signaller(call, identifier) if options.on("sig-proxy") else None,
    )
    wait = Wait(call.daemon, identifier, condition)
    if not session.run(lambda: _start(call, identifier, body), wait.channel):
        return 0  # detached: the container goes on
    return wait.exit_code()
