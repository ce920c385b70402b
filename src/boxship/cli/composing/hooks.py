"""Commands that are executed inside of a container after its start or before its stop."""

from __future__ import annotations

from collections.abc import Callable

from boxship.cli.composing.reach import Reach
from boxship.cli.daemon import DaemonError
from boxship.cli.text import visible
from boxship.compose.model import Service
from boxship.compose.parts import Hook
from boxship.compose.running.host import News
from boxship.errors import Internal
from boxship.wire.stream import FrameReader

TAIL_BYTES = 4096  # of a hook's output, told when it fails


def run_hooks(reach: Reach, service: Service, container: str, kind: str, tell: Callable[[News], None]) -> None:
    """Execute the service's hooks one after the other. Raises Internal for the first that fails."""
    for hook in service.post_start if kind == "post_start" else service.pre_stop:
        tell(News(f"{kind}: {' '.join(hook.command)}"))
        run_hook(reach, container, kind, hook)


def run_hook(reach: Reach, container: str, kind: str, hook: Hook) -> None:
    body = {
        "User": hook.user,
        "Privileged": hook.privileged,
        "WorkingDir": hook.working_dir,
        "Env": [name if value is None else f"{name}={value}" for name, value in hook.environment.items()],
        "Cmd": list(hook.command),
        "AttachStdout": True,
        "AttachStderr": True,
    }
    identifier = reach.daemon.post(f"/containers/{container}/exec", body=body)["Id"]
    response = reach.daemon.request(
        "POST",
        f"/exec/{identifier}/start",
        body={"Detach": False, "Tty": False},
        headers={"Connection": "Upgrade", "Upgrade": "tcp"},
        own_connection=True,
    )
    channel, data = response.take_over()
    frames, tail = FrameReader(), b""
    try:
        while True:
            for _, payload in frames.feed(data):
                tail = (tail + payload)[-TAIL_BYTES:]
            data = channel.receive()
            if not data:
                break
    finally:
        channel.close()
    code = reach.daemon.get(f"/exec/{identifier}/json").get("ExitCode")
    if code:
        said = visible(tail.decode("utf-8", "replace")).strip()
        raise Internal(f"{kind} hook exited with status {code}: {' '.join(hook.command)}{f': {said}' if said else ''}")


def is_gone(error: DaemonError) -> bool:
    """Whether an exec failed because there is no running container: before a stop that is no error."""
    return error.status in (404, 409)
