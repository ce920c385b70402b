"""boxship compose exec: another process in a service's running container."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN, INDEX
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "SERVICE COMMAND [ARGS...]",
    (
        Flag("-d, --detach", "Detached mode: run command in the background"),
        DRY_RUN,
        Flag("-e, --env list", "Set environment variables"),
        INDEX,
        Flag("-i, --interactive", "Keep STDIN open even if not attached", True),
        Flag("-T, --no-tty", "Disable pseudo-TTY allocation (default: where this program has no terminal)"),
        Flag("--no-TTY", ""),
        Flag("--privileged", "Give extended privileges to the process"),
        Flag("-t, --tty", "Allocate a pseudo-TTY"),
        Flag("-u, --user string", "Run the command as this user"),
        Flag("-w, --workdir string", "Path to workdir directory for this command"),
    ),
    least=2,
    most=None,
    interspersed=False,
    completes=("services", "commands"),
)


def run(call: Call) -> int:
    from boxship.cli.composing.executing import execute, wants_terminal
    from boxship.cli.composing.opening import Opening
    from boxship.cli.composing.seen import one_container
    from boxship.cli.option_text import variables
    from boxship.cli.session import check_terminal

    options = call.options
    opening = Opening(call)
    service, *command = call.arguments
    project = opening.project()
    container = one_container(opening, project, service, options.number("index"))
    attached = not options.on("detach")
    tty = attached and wants_terminal(call)
    check_terminal(attached and options.on("interactive") and options.on("tty"), tty)
    body = {
        "User": options.text("user"),
        "Privileged": options.on("privileged"),
        "Tty": tty,
        "AttachStdin": attached and options.on("interactive"),
        "AttachStdout": attached,
        "AttachStderr": attached,
        "Env": variables(options.texts("env"), [], call.environment),
        "WorkingDir": options.text("workdir"),
        "Cmd": command,
    }
    if opening.settings.dry_run:
        call.line(f"DRY-RUN MODE - {service}: exec {' '.join(command)}")
        return 0
    return execute(call, container["Id"], body)
