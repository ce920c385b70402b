"""The OCI runtimes of this machine, by name, and the quick way to run them.

crun guards against a container that overwrites the host's crun: unless its own file lies on a read-only mount, it
makes such a mount, executes itself again from there and takes it away. That costs two milliseconds a call. So the
daemon binds crun read-only once, in its own mount namespace, and calls that: the same guard, paid once.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from boxship.errors import BoxshipError, Invalid
from boxship.spec.mount import Mount
from boxship.sys.mount import mount, unmount
from boxship.sys.spawn import find_program

logger = logging.getLogger(__name__)

KNOWN = ("crun", "runc")
INIT_PROGRAMS = ("/usr/bin/tini-static", "/usr/bin/catatonit", "/usr/libexec/podman/catatonit")
INIT_TARGET = "/sbin/docker-init"


class Runtime:
    """A runtime: what users call it, where it is, how it is called."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self.program = str(path)  # what is executed
        self.is_crun = path.name == "crun"


class Programs:
    """The runtimes that may be asked for. `bind` once in the daemon's mount namespace."""

    def __init__(self, run_root: Path, given: Mapping[str, Path], default: str) -> None:
        self._folder = run_root / "programs"
        self._states = run_root / "runtimes"
        self._runtimes: dict[str, Runtime] = {}
        for name in dict.fromkeys((*KNOWN, *given)):
            path = given.get(name) or _installed(name)
            if path is not None:
                self._runtimes[name] = Runtime(name, path)
        if default not in self._runtimes:
            raise Invalid(f"cannot use runtime {default}: it is not installed; known are {sorted(self._runtimes)}")
        self.default = default

    def get(self, name: str) -> Runtime:
        """Raises Invalid, with Docker's text, for an unknown name; "" is the default."""
        runtime = self._runtimes.get(name or self.default)
        if runtime is None:
            raise Invalid(f"unknown or invalid runtime name: {name}")
        return runtime

    def state(self, runtime: Runtime) -> Path:
        """The folder of a runtime's own state, with a folder for each container."""
        return self._states / runtime.name

    def paths(self) -> dict[str, str]:
        """Name → path of each."""
        return {name: str(runtime.path) for name, runtime in self._runtimes.items()}

    def __iter__(self) -> Iterator[Runtime]:
        return iter(self._runtimes.values())

    def bind(self) -> None:
        """Bind every crun read-only. Where that fails, crun is called where it is, only slower."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for runtime in self._runtimes.values():
            if not runtime.is_crun:
                continue
            target = self._folder / runtime.name
            if not target.exists():  # after a kill it still carries its read-only mount
                target.touch()
            try:
                if not os.path.samefile(target, runtime.path):  # none yet, or that of a crun replaced since
                    unmount(target)
                    mount(Mount("bind", str(runtime.path), str(target), ("bind", "ro")))
            except (BoxshipError, OSError) as error:
                logger.warning("cannot bind %s read-only: %s", runtime.path, error)
                continue
            runtime.program = str(target)

    def unbind(self) -> None:
        """Take the mounts away."""
        for runtime in self._runtimes.values():
            if runtime.program != str(runtime.path):
                unmount(runtime.program)
                runtime.program = str(runtime.path)


def _installed(name: str) -> Path | None:
    try:
        return Path(find_program(name))
    except BoxshipError:
        return None


def find_init() -> str:
    """The host's static init program for --init; "" where none is installed."""
    return next((path for path in INIT_PROGRAMS if os.access(path, os.X_OK)), "")
