"""boxship start: start stopped containers, perhaps attached to one of them."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.escape import escape
from boxship.cli.flags import Command, Flag
from boxship.cli.targets import for_each

COMMAND = Command(
    "CONTAINER [CONTAINER...]",
    (
        Flag("-a, --attach", "Attach STDOUT/STDERR and forward signals"),
        Flag("--checkpoint string", "Restore from this checkpoint"),
        Flag("--checkpoint-dir string", "Use a custom checkpoint storage directory", completes="files"),
        Flag("--detach-keys string", "Override the key sequence for detaching a container"),
        Flag("-i, --interactive", "Attach container's STDIN"),
    ),
    least=1,
    most=None,
    completes=("stopped",),
)


def run(call: Call) -> int:
    options = call.options
    query = {
        "checkpoint": options.text("checkpoint") or None,
        "checkpoint-dir": options.text("checkpoint-dir") or None,
    }
    if not (options.on("attach") or options.on("interactive")):
        return for_each(call, call.arguments, lambda name: call.daemon.post(f"/containers/{escape(name)}/start", query))
    if len(call.arguments) > 1:
        raise Failure("you cannot start and attach multiple containers at once")
    return _start_attached(call)


def _start_attached(call: Call) -> int:
    from boxship.cli.attaching import attach_session
    from boxship.cli.session import check_terminal
    from boxship.cli.waiting import Wait

    container = call.daemon.get(f"/containers/{escape(call.arguments[0])}/json")
    identifier, config = container["Id"], container["Config"]
    stdin = call.options.on("interactive") and config["OpenStdin"]
    check_terminal(stdin, config["Tty"])
    session = attach_session(call, container, stdin=stdin, proxy=not config["Tty"])
    condition = "removed" if container["HostConfig"].get("AutoRemove") else "next-exit"
    wait = Wait(call.daemon, identifier, condition)
    if not session.run(lambda: call.daemon.post(f"/containers/{identifier}/start"), wait.channel):
        raise Failure("read escape sequence")
    return wait.exit_code()
