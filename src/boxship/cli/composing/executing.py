"""A process in a container with our streams: `exec`, and `exec` of watch rules."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.daemon import Object
from boxship.cli.terminal import is_terminal


def execute(call: Call, container: str, body: Object, *, detach_keys: str = "") -> int:
    """The exit code of the process; 0 at once where it is detached."""
    from boxship.cli.session import Session, resizer
    from boxship.cli.terminal import terminal_size

    identifier = call.daemon.post(f"/containers/{container}/exec", body=body)["Id"]
    path = f"/exec/{identifier}"
    start: Object = {"Detach": not body["AttachStdout"], "Tty": body["Tty"]}
    if start["Detach"]:
        call.daemon.post(f"{path}/start", body=start)
        return 0
    if body["Tty"] and is_terminal(1):
        start["ConsoleSize"] = list(terminal_size(1))
    response = call.daemon.request(
        "POST", f"{path}/start", body=start, headers={"Connection": "Upgrade", "Upgrade": "tcp"}, own_connection=True
    )
    session = Session(
        response, tty=body["Tty"], stdin=body["AttachStdin"], detach_keys=detach_keys, resize=resizer(call, path)
    )
    if not session.run():
        raise Failure("read escape sequence")
    code = call.daemon.get(f"{path}/json").get("ExitCode")
    return int(code) if code is not None else 1


def wants_terminal(call: Call) -> bool:
    """Whether the process gets a terminal: where both ends of ours are one, and nobody says otherwise."""
    options = call.options
    if options.given("tty"):
        return options.on("tty")
    return not options.on("no-tty") and not options.on("no-TTY") and is_terminal(0) and is_terminal(1)
