"""kill -9 of the control plane while clients write and watch: what was acknowledged is there, nothing is half there,
and a watch that goes on where it was misses nothing and hears nothing twice; on both stores."""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_kit import Control, running_control
from etcd_kit import running_etcd

from daemons import until

PATH = "/api/v1/namespaces/default/configmaps"
WRITERS = 4
DEADLINE = 30.0  # seconds
GONE = (OSError, http.client.HTTPException)


class Writer(threading.Thread):
    """Makes objects one after the other and changes each once; keeps what was acknowledged."""

    def __init__(self, control: Control, mark: int, ended: threading.Event) -> None:
        super().__init__()
        self._control, self._mark, self._ended = control, mark, ended
        self.made: dict[str, int] = {}  # name -> version after its last acknowledged write
        self.changed: set[str] = set()
        self.refused: list[str] = []

    def run(self) -> None:
        number = 0
        while not self._ended.is_set():
            with contextlib.suppress(*GONE):
                connection = self._control.connection()
                try:
                    while not self._ended.is_set():
                        number += 1
                        self._write(connection, f"w{self._mark}-{number}")
                finally:
                    connection.close()
            time.sleep(0.02)  # until it answers again

    def _write(self, connection: http.client.HTTPSConnection, name: str) -> None:
        made = self._ask(connection, "POST", PATH, {"metadata": {"name": name}, "data": {"state": "made"}})
        if made is None:
            return
        self.made[name] = int(made["metadata"]["resourceVersion"])
        changed = self._ask(connection, "PATCH", f"{PATH}/{name}", {"data": {"state": "changed"}})
        if changed is not None:
            self.made[name] = int(changed["metadata"]["resourceVersion"])
            self.changed.add(name)

    def _ask(self, connection: http.client.HTTPSConnection, method: str, path: str, body: Any) -> Any:
        media = "application/json" if method == "POST" else "application/merge-patch+json"
        connection.request(method, path, json.dumps(body).encode(), {"Content-Type": media})
        answer = connection.getresponse()
        told = json.loads(answer.read())
        if answer.status >= 500:
            return None  # not done, or nobody knows
        if answer.status >= 400:
            self.refused.append(told["message"])
            return None
        return told


class Watcher(threading.Thread):
    """Follows from a version on, over every end of its connection; keeps all events."""

    def __init__(self, control: Control, version: str, ended: threading.Event) -> None:
        super().__init__()
        self._control, self._version, self._ended = control, version, ended
        self.events: list[tuple[str, str, int]] = []  # type, name, version
        self.wrong: list[str] = []

    def run(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(*GONE):
                connection = self._control.connection()
                connection.timeout = 1.0
                try:
                    connection.request("GET", f"{PATH}?watch=1&resourceVersion={self._version}&timeoutSeconds=30")
                    answer = connection.getresponse()
                    if answer.status == 200:
                        self._follow(answer)
                finally:
                    connection.close()
            time.sleep(0.02)

    def _follow(self, answer: http.client.HTTPResponse) -> None:
        while not self._ended.is_set() and (line := answer.readline()):
            event = json.loads(line)
            if event["type"] == "ERROR":
                self.wrong.append(event["object"]["message"])
                return
            metadata = event["object"]["metadata"]
            self._version = metadata["resourceVersion"]
            if event["type"] != "BOOKMARK":
                self.events.append((event["type"], metadata["name"], int(self._version)))


@pytest.fixture(params=["sqlite", "etcd"])
def control(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Control, Any]]:
    if request.param == "sqlite":
        with running_control(tmp_path) as control:
            yield control, None
        return
    with (
        running_etcd(tmp_path / "etcd") as etcd,
        running_control(tmp_path / "plane", "--store", f"etcd:{etcd.url}") as control,
    ):
        yield control, etcd


def under_load(control: Control, kill: Any, kills: int) -> None:
    """Write and watch, kill again and again, then look at everything."""
    ended = threading.Event()
    version = control.request("GET", PATH).object["metadata"]["resourceVersion"]
    writers = [Writer(control, mark, ended) for mark in range(WRITERS)]
    watcher = Watcher(control, version, ended)
    for thread in (*writers, watcher):
        thread.start()
    try:
        for _ in range(kills):
            _wait_for_writes(writers, 40)
            kill()
        _wait_for_writes(writers, 1)
    finally:
        ended.set()
        for writer in writers:
            writer.join(DEADLINE)
    made = {name: found for writer in writers for name, found in writer.made.items()}
    changed = {name for writer in writers for name in writer.changed}
    there = {item["metadata"]["name"]: item for item in control.request("GET", PATH).object["items"]}
    assert not [name for name in made if name not in there], "acknowledged and not there"
    wrong = [name for name in changed if there[name]["data"] != {"state": "changed"}]
    assert not wrong, f"acknowledged changes that are not there: {wrong}"
    for name, item in there.items():
        if name.startswith("w"):
            assert item["data"] in ({"state": "made"}, {"state": "changed"}) and item["metadata"]["uid"], item
            assert int(item["metadata"]["resourceVersion"]) >= made.get(name, 0)
    assert not [text for writer in writers for text in writer.refused if "already exists" not in text]
    last = {name: int(item["metadata"]["resourceVersion"]) for name, item in there.items() if name.startswith("w")}
    watcher.join(DEADLINE)
    _check_watch(control, watcher, version, last)


def _wait_for_writes(writers: list[Writer], more: int) -> None:
    before = sum(len(writer.changed) for writer in writers)
    until(lambda: sum(len(writer.changed) for writer in writers) >= before + more, DEADLINE, "writes go on")


def _check_watch(control: Control, watcher: Watcher, version: str, last: dict[str, int]) -> None:
    assert not watcher.wrong
    versions = [seen for _, _, seen in watcher.events]
    assert versions == sorted(set(versions)), "events out of order, or twice"
    # What it had not heard when we ended comes from one more watch at the same place.
    rest = control.request("GET", f"{PATH}?watch=1&resourceVersion={versions[-1]}&timeoutSeconds=1").body
    for line in rest.splitlines():
        event = json.loads(line)
        if event["type"] != "BOOKMARK":
            metadata = event["object"]["metadata"]
            watcher.events.append((event["type"], metadata["name"], int(metadata["resourceVersion"])))
    seen: dict[str, list[tuple[str, int]]] = {}
    for kind, name, at in watcher.events:
        seen.setdefault(name, []).append((kind, at))
    for name, at in last.items():
        assert seen[name][0][0] == "ADDED" and seen[name][-1][1] == at, (name, seen[name], at)
        assert [kind for kind, _ in seen[name][1:]] in ([], ["MODIFIED"]), seen[name]
    assert version


def test_the_control_plane_is_killed_while_clients_write(control: tuple[Control, Any]) -> None:
    plane, _ = control

    def kill() -> None:
        plane.kill()
        plane.start()

    under_load(plane, kill, 3)


@pytest.mark.slow
def test_the_control_plane_is_killed_many_times(control: tuple[Control, Any]) -> None:
    plane, _ = control

    def kill() -> None:
        plane.kill()
        plane.start()

    under_load(plane, kill, 25)
