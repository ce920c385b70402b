"""The daemon, from any thread: each thread has a connection of its own, as one carries a request at a time."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from boxship.cli.call import Call
from boxship.cli.daemon import Daemon
from boxship.transport.blocking import Address


class Reach:
    """`daemon` is the calling thread's own."""

    def __init__(self, call: Call) -> None:
        call.daemon.settle()
        self.call = call
        self.environment: Mapping[str, str] = call.environment
        self.address: Address = call.daemon.address
        self._version = call.daemon.version
        self._local = threading.local()

    @property
    def daemon(self) -> Daemon:
        found = getattr(self._local, "daemon", None)
        if found is None:
            found = self._local.daemon = Daemon(self.address, self._version)
        assert isinstance(found, Daemon)
        return found
