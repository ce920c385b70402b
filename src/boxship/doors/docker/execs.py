"""Further processes in a running container: create, start (attached or not), resize, inspect."""

import contextlib

from boxship.doors.docker.attach import pump, take_over
from boxship.doors.docker.bodies import ExecBody, ExecStartBody
from boxship.doors.docker.call import Call, reply
from boxship.doors.docker.create_body import console_size, strings, words
from boxship.doors.docker.lifecycle import terminal_size
from boxship.doors.docker.router import Route
from boxship.engine.model import Exec, ExecSpec
from boxship.errors import BoxshipError, Canceled, Conflict, Invalid
from boxship.transport.exchange import RawStream, Reply
from boxship.wire.stream import STDOUT, frame


async def create(call: Call) -> Reply:
    body = await call.body(ExecBody)
    command = words(body.cmd)
    if not command:
        raise Invalid("No exec command specified")
    spec = ExecSpec(
        command=command,
        environment=strings(body.env),
        working_directory=body.working_dir,
        user=body.user,
        privileged=body.privileged,
        tty=body.tty,
        attach_stdin=body.attach_stdin,
        attach_stdout=body.attach_stdout,
        attach_stderr=body.attach_stderr,
        detach_keys=body.detach_keys,
        console_size=console_size(body.console_size, "ConsoleSize"),
    )
    created = await call.engine.execs.create(call.id, spec)
    return reply({"Id": created.id}, 201)


async def start(call: Call) -> Reply | None:
    body = await call.body(ExecStartBody, needed=False)
    size = console_size(body.console_size, "ConsoleSize")
    if size != (0, 0) and not body.tty:
        raise Invalid("console size is only supported when TTY is enabled")
    found = call.engine.execs.get(call.id)
    if body.detach:
        check_startable(found)
        await call.engine.execs.start(call.id, detach=True, console_size=size)
        return Reply(200)
    # The head goes out before the process starts: docker-py loses what comes in one piece with it.
    stream = await take_over(call, found.spec.tty)
    try:
        check_startable(found)
        streams = await call.engine.execs.start(call.id, detach=False, console_size=size)
    except BoxshipError as error:
        await tell(stream, f"{error}\r\n".encode(), found.spec.tty)
        return None
    assert streams is not None
    await pump(streams, stream)
    return None


def check_startable(found: Exec) -> None:
    """Raises Conflict, with Docker's texts, for an exec that was started before."""
    if found.running:
        raise Conflict(f"Error: Exec command {found.id} is already running")
    if found.started:
        raise Conflict(f"Error: Exec command {found.id} has already run")


async def tell(stream: RawStream, text: bytes, tty: bool) -> None:
    """An attached client reads on its stream why nothing runs."""
    with contextlib.suppress(Canceled):
        await stream.write(text if tty else frame(STDOUT, text))
    await stream.close()


async def resize(call: Call) -> Reply:
    rows, columns = terminal_size(call)
    await call.engine.execs.resize(call.id, rows, columns)
    return Reply(200)


async def inspect(call: Call) -> Reply:
    found = call.engine.execs.get(call.id)
    spec = found.spec
    shown = {
        "ID": found.id,
        "Running": found.running,
        "ExitCode": found.exit_code,
        "ProcessConfig": {
            "tty": spec.tty,
            "entrypoint": spec.command[0],
            "arguments": list(spec.command[1:]),
            "privileged": spec.privileged,
            **({"user": spec.user} if spec.user else {}),
        },
        "OpenStdin": spec.attach_stdin,
        "OpenStderr": spec.attach_stderr,
        "OpenStdout": spec.attach_stdout,
        "CanRemove": found.can_remove,
        "ContainerID": found.container_id,
        "DetachKeys": spec.detach_keys,
        "Pid": found.process.pid,
    }
    return reply(shown)


ROUTES = (
    Route("POST", "/containers/{id}/exec", create),
    Route("POST", "/exec/{id}/start", start),
    Route("POST", "/exec/{id}/resize", resize, query=("h", "w")),
    Route("GET", "/exec/{id}/json", inspect),
)
