"""Waiting for a container's end, registered with the daemon before anything can end."""

from __future__ import annotations

import json

from boxship.cli.call import Failure
from boxship.cli.daemon import Daemon
from boxship.transport.blocking import Channel, Response


class Wait:
    """One outstanding wait on its own connection."""

    def __init__(self, daemon: Daemon, container: str, condition: str) -> None:
        self._response: Response = daemon.request(
            "POST", f"/containers/{container}/wait", {"condition": condition or None}, own_connection=True
        )

    def channel(self) -> Channel | None:
        """The connection on which news will come; None when it is here already."""
        return self._response.channel_if_silent()

    def exit_code(self) -> int:
        """Blocks until the end. Raises Failure when the daemon could not wait."""
        answer = json.loads(self._response.read())
        error = answer.get("Error") or {}
        if error.get("Message"):
            raise Failure(f"cannot wait for the container: {error['Message']}", 125)
        code = answer["StatusCode"]
        assert isinstance(code, int)
        return code
