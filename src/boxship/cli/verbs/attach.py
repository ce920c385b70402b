"""boxship attach: our streams to a running container."""

from __future__ import annotations

from boxship.cli.attaching import attach_session
from boxship.cli.call import Call, Failure
from boxship.cli.escape import escape
from boxship.cli.flags import Command, Flag
from boxship.cli.session import check_terminal
from boxship.cli.waiting import Wait

COMMAND = Command(
    "CONTAINER",
    (
        Flag("--detach-keys string", "Override the key sequence for detaching a container"),
        Flag("--no-stdin", "Do not attach STDIN"),
        Flag("--sig-proxy", "Proxy all received signals to the process", True),
    ),
    least=1,
    most=1,
    completes=("running",),
)


def run(call: Call) -> int:
    container = call.daemon.get(f"/containers/{escape(call.arguments[0])}/json")
    state, config = container["State"], container["Config"]
    if not state["Running"]:
        raise Failure("cannot attach to a stopped container, start it first")
    if state["Paused"]:
        raise Failure("cannot attach to a paused container, unpause it first")
    if state["Restarting"]:
        raise Failure("cannot attach to a restarting container, wait until it is running")
    stdin = config["OpenStdin"] and not call.options.on("no-stdin")
    check_terminal(stdin, config["Tty"])
    wait = Wait(call.daemon, container["Id"], "")
    session = attach_session(call, container, stdin=stdin, proxy=call.options.on("sig-proxy") and not config["Tty"])
    if not session.run():
        raise Failure("read escape sequence")
    return wait.exit_code()
