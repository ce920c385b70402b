"""Where a cluster's files lie and which flags say so; one pair of roots is one cluster: several live side by side."""

from __future__ import annotations

import os
from pathlib import Path

from boxship.cli.call import Call
from boxship.cli.flags import Flag

DATA_ROOT = "/var/lib/boxship"
RUN_ROOT = "/run/boxship"
PORT = 6443
LOOPBACK = "127.0.0.1"
DATA_ROOT_FLAG = Flag(
    "--data-root string", "Where the cluster keeps what it must not forget", DATA_ROOT, completes="files"
)
ROOT_FLAGS = (
    DATA_ROOT_FLAG,
    Flag("--run-root string", "Where sockets, process ids and logs lie", RUN_ROOT, completes="files"),
)


class Places:
    """The paths of one cluster."""

    __slots__ = ("control_data", "control_run", "data", "run")

    def __init__(self, data: Path, run: Path) -> None:
        self.data = data
        self.run = run
        self.control_data = data / "control"
        self.control_run = run / "control"

    @property
    def is_default(self) -> bool:
        """Whether these are the roots that the system's own services use."""
        return str(self.data) == DATA_ROOT and str(self.run) == RUN_ROOT

    @property
    def engine_socket(self) -> Path:
        return self.run / "boxship.sock"

    @property
    def authority(self) -> Path:
        return self.control_data / "pki" / "ca.crt"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.control_data / "admin.kubeconfig"

    @property
    def record(self) -> Path:
        """What `cluster up` was told, for the verbs after it."""
        return self.run / "cluster.json"

    @property
    def lock(self) -> Path:
        return self.run / "cluster.lock"


def places_of(call: Call) -> Places:
    data, run = call.options.text("data-root"), call.options.text("run-root")
    return Places(Path(os.path.abspath(data)), Path(os.path.abspath(run)))
