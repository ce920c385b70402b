"""Two hundred manifests after the topics of the public documentation: each is applied, read back and applied again in
both ways, and nothing drifts. The files are in `manifests/`."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_kit import Control, running_control

from boxship.wire.yaml_text import read_all, write

FOLDER = Path(__file__).parent / "manifests"
ORDER = ("configuration", "access", "limits", "storage", "custom")  # what others stand on goes first
FIRST = ("Namespace", "CustomResourceDefinition", "ServiceAccount")
DEADLINE = 20.0  # seconds


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("manifests")) as control:
        yield control


def documents() -> list[dict[str, Any]]:
    """All of them; what others need comes first."""
    files = sorted(FOLDER.glob("*.yaml"), key=lambda path: (path.stem not in ORDER, path.stem))
    found = [each for path in files for each in read_all(path.read_bytes())]
    return sorted(found, key=lambda each: each["kind"] not in FIRST)


def test_there_are_two_hundred() -> None:
    found = documents()
    assert len(found) >= 200
    names = [
        (each["apiVersion"], each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in found
    ]
    assert len(set(names)) == len(names)


class Paths:
    """Where objects of a kind are, by the server's own discovery."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._known: dict[tuple[str, str], tuple[str, bool]] = {}

    def of(self, made: dict[str, Any]) -> str:
        version, kind = made["apiVersion"], made["kind"]
        deadline = time.monotonic() + DEADLINE
        while (version, kind) not in self._known:
            top = "/api/v1" if version == "v1" else f"/apis/{version}"
            for resource in self._control.request("GET", top).object.get("resources", []):
                if "/" not in resource["name"]:
                    self._known[version, resource["kind"]] = (f"{top}|{resource['name']}", resource["namespaced"])
            assert time.monotonic() < deadline, f"{version} {kind} is not served"
        place, namespaced = self._known[version, kind]
        top, _, plural = place.partition("|")
        inside = f"/namespaces/{made['metadata'].get('namespace', 'default')}" if namespaced else ""
        return f"{top}{inside}/{plural}/{made['metadata']['name']}"


def contains(whole: Any, part: Any) -> bool:
    """Whether everything that was asked for is there; quantities and such may be written differently."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(any(contains(each, one) for each in whole) for one in part)
    return bool(whole == part) or isinstance(part, str | int | float)


def applied(made: dict[str, Any]) -> dict[str, Any]:
    """What nobody else writes: status aside, and what controllers give (a node's block and taints, what is bound)."""
    given = {"Node": ("podCIDR", "podCIDRs", "taints"), "PersistentVolume": ("claimRef",)}
    given["PersistentVolumeClaim"] = ("volumeName", "storageClassName")
    kept = {key: value for key, value in made.items() if key not in ("status", "metadata")}
    if isinstance(kept.get("spec"), dict):
        others = given.get(made["kind"], ())
        kept["spec"] = {key: value for key, value in kept["spec"].items() if key not in others}
    return kept


def test_applied_read_back_and_applied_again(control: Control) -> None:
    paths = Paths(control)
    apply = {"Content-Type": "application/apply-patch+yaml"}
    drifted, wrong = [], []
    for made in documents():
        path = paths.of(made)
        query = "?fieldManager=tests&fieldValidation=Strict&force=true"
        first = control.request("PATCH", path + query, write(made), apply)
        if first.status not in (200, 201):
            wrong.append(f"{made['kind']} {made['metadata']['name']}: {first.status} {first.body[:300]!r}")
            continue
        there = control.request("GET", path).object
        asked = {key: value for key, value in made.items() if key != "stringData"}
        if not contains(there, asked):
            wrong.append(f"{made['kind']} {made['metadata']['name']}: it is not what was asked for")
        again = control.request("PATCH", path + query, write(made), apply)
        # Somebody else may have written its status meanwhile; what was applied must not have moved.
        before, after = (applied(each) for each in (there, again.object))
        if again.status != 200 or before != after:
            drifted.append(f"{made['kind']} {made['metadata']['name']}")
    assert not wrong, "\n".join(wrong)
    assert not drifted, "\n".join(drifted)


def test_nothing_to_do_for_kubectl(control: Control) -> None:
    """Both of kubectl's ways find nothing to change in what they have applied."""
    everything = str(FOLDER)
    control.kubectl("apply", "--server-side", "--force-conflicts", "-f", everything)
    assert control.kubectl("diff", "--server-side", "--force-conflicts", "-f", everything).stdout == ""
