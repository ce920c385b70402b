"""Attaching to a container that exists already, for `attach` and `start -a`."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.daemon import Object
from boxship.cli.session import Session, resizer, signaller


def attach_session(call: Call, container: Object, *, stdin: bool, proxy: bool) -> Session:
    """A session with the container's first process; it stands before any output can be missed."""
    path = f"/containers/{container['Id']}"
    keys = call.options.text("detach-keys")
    response = call.daemon.request(
        "POST",
        f"{path}/attach",
        {"stream": True, "stdin": stdin or None, "stdout": True, "stderr": True, "detachKeys": keys or None},
        headers={"Connection": "Upgrade", "Upgrade": "tcp"},
        own_connection=True,
    )
    return Session(
        response,
        tty=container["Config"]["Tty"],
        stdin=stdin,
        detach_keys=keys,
        resize=resizer(call, path),
        proxy=signaller(call, container["Id"]) if proxy else None,
    )
