"""boxship exec: another process in a running container; the exit code is the process's."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.daemon import Object
from boxship.cli.escape import escape
from boxship.cli.flags import Command, Flag
from boxship.cli.option_text import variables

COMMAND = Command(
    "CONTAINER COMMAND [ARG...]",
    (
        Flag("-d, --detach", "Detached mode: run command in the background"),
        Flag("--detach-keys string", "Override the key sequence for detaching a container"),
        Flag("-e, --env list", "Set environment variables"),
        Flag("--env-file list", "Read in a file of environment variables", completes="files"),
        Flag("-i, --interactive", "Keep STDIN open even if not attached"),
        Flag("--privileged", "Give extended privileges to the command"),
        Flag("-t, --tty", "Allocate a pseudo-TTY"),
        Flag("-u, --user string", "Username or UID (format: <name|uid>[:<group|gid>])"),
        Flag("-w, --workdir string", "Working directory inside the container"),
    ),
    least=2,
    most=None,
    interspersed=False,
    completes=("running", "commands"),
)


def exec_body(call: Call) -> Object:
    """What POST /containers/NAME/exec takes."""
    options = call.options
    attached = not options.on("detach")
    return {
        "User": options.text("user"),
        "Privileged": options.on("privileged"),
        "Tty": options.on("tty"),
        "AttachStdin": attached and options.on("interactive"),
        "AttachStdout": attached,
        "AttachStderr": attached,
        "DetachKeys": options.text("detach-keys"),
        "Env": variables(options.texts("env"), options.texts("env-file"), call.environment),
        "WorkingDir": options.text("workdir"),
        "Cmd": call.arguments[1:],
    }


def run(call: Call) -> int:
    if "/" in call.arguments[0]:
        raise Failure("unsupported: exec into TYPE/NAME: pods do not run yet")
    body = exec_body(call)
    if body["AttachStdout"]:
        from boxship.cli.session import check_terminal

        check_terminal(body["AttachStdin"], body["Tty"])
    answer = call.daemon.post(f"/containers/{escape(call.arguments[0])}/exec", body=body)
    identifier = answer["Id"]
    if not body["AttachStdout"]:
        call.daemon.post(f"/exec/{identifier}/start", body={"Detach": True, "Tty": body["Tty"]})
        return 0
    return _run_attached(call, identifier, body)


def _run_attached(call: Call, identifier: str, body: Object) -> int:
    from boxship.cli.session import Session, resizer
    from boxship.cli.terminal import is_terminal, terminal_size

    start: Object = {"Detach": False, "Tty": body["Tty"]}
    if body["Tty"] and is_terminal(1):
        start["ConsoleSize"] = list(terminal_size(1))
    path = f"/exec/{identifier}"
    response = call.daemon.request(
        "POST", f"{path}/start", body=start, headers={"Connection": "Upgrade", "Upgrade": "tcp"}, own_connection=True
    )
    session = Session(
        response,
        tty=body["Tty"],
        stdin=body["AttachStdin"],
        detach_keys=call.options.text("detach-keys"),
        resize=resizer(call, path),
    )
    if not session.run():
        raise Failure("read escape sequence")
    state = call.daemon.get(f"{path}/json")
    code = state.get("ExitCode")
    return int(code) if code is not None else 1
