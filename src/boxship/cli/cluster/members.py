"""The processes of one cluster and whether they answer."""

from __future__ import annotations

import json
import os
from pathlib import Path

from boxship.cli.cluster.places import LOOPBACK, PORT, Places
from boxship.cli.cluster.processes import Process, program
from boxship.errors import BoxshipError
from boxship.transport.blocking import Address, Connection, TlsFiles

ENGINE_UNIT = "boxshipd.service"
CONTROL_UNIT = "boxship-control.service"


class Record:
    """What `cluster up` was told: where the API listens, further options of the control plane, and whether the engine
    is ours."""

    __slots__ = ("engine", "extra", "host", "port")

    def __init__(
        self, port: int = PORT, extra: tuple[str, ...] = (), engine: bool = True, host: str = LOOPBACK
    ) -> None:
        self.port = port
        self.extra = extra
        self.engine = engine
        self.host = host

    @property
    def server(self) -> str:
        """The API's address, as it is reached from this machine."""
        return f"https://{self.host}:{self.port}"

    @classmethod
    def read(cls, path: Path) -> Record | None:
        try:
            told = json.loads(path.read_text())
            extra = tuple(str(word) for word in told["extra"])
            return cls(int(told["port"]), extra, bool(told["engine"]), str(told.get("host") or LOOPBACK))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path) -> None:
        half = path.with_suffix(".new")
        told = {"port": self.port, "extra": list(self.extra), "engine": self.engine, "host": self.host}
        half.write_text(json.dumps(told))
        os.replace(half, path)


def control_process(places: Places, record: Record) -> Process:
    command = [
        program("boxship-control"),
        *("--data-root", str(places.control_data)),
        *("--run-root", str(places.control_run)),
        *("--listen", f"{record.host}:{record.port}"),
        *(("--cluster", f"boxship-{record.port}") if record.port != PORT else ()),
        *record.extra,
    ]
    usual = places.is_default and (record.host, record.port) == (LOOPBACK, PORT) and not record.extra
    return Process("boxship-control", command, places.run, CONTROL_UNIT if usual else "")


def engine_process(places: Places) -> Process:
    command = [
        program("boxshipd"),
        *("--data-root", str(places.data / "engine") if not places.is_default else str(places.data)),
        *("--run-root", str(places.run / "engine") if not places.is_default else str(places.run)),
        *("--host", f"unix://{places.engine_socket}"),
    ]
    return Process("boxshipd", command, places.run, ENGINE_UNIT if places.is_default else "")


def engine_answers(places: Places) -> bool:
    return _ok(Address(path=str(places.engine_socket)), "/_ping") == "OK"


def control_answers(places: Places, record: Record, path: str = "/readyz") -> bool:
    return _ok(control_address(places, record), path) == "ok"


def control_address(places: Places, record: Record) -> Address:
    return Address(host=record.host, port=record.port, tls=TlsFiles(authority=str(places.authority)))


def checks(places: Places, record: Record) -> str:
    """What the API server says of each of its parts; "" where it does not answer."""
    return _text(control_address(places, record), "/readyz?verbose")


def _ok(address: Address, path: str) -> str:
    return _text(address, path).strip()


def _text(address: Address, path: str) -> str:
    """The page, whatever its status; "" where nobody answers."""
    try:
        connection = Connection(address)
        try:
            return connection.request("GET", path, {"Connection": "close"}).read().decode(errors="replace")
        finally:
            connection.close()
    except (BoxshipError, OSError):
        return ""
