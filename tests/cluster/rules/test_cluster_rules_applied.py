"""The kinds of core, apps, batch, autoscaling and policy through a real control plane and the stock client: what is
applied once more, in either way, changes nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_kit import Control, running_control

FILE = Path(__file__).parent / "workloads.yaml"
MANIFESTS = str(FILE)


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("applied")) as running:
        running.kubectl("apply", "-f", MANIFESTS)
        yield running


def _stored(control: Control) -> dict[tuple[str, str], dict[str, Any]]:
    """Objects without what controllers and managers write beside them."""
    found = {}
    for each in json.loads(control.kubectl("get", "-f", MANIFESTS, "-o", "json").stdout)["items"]:
        metadata = {key: each["metadata"].get(key) for key in ("uid", "generation", "labels", "finalizers")}
        rest = {key: value for key, value in each.items() if key not in ("metadata", "status")}
        found[each["kind"], each["metadata"]["name"]] = {**rest, "metadata": metadata}
    return found


def test_applied_again(control: Control) -> None:
    before = _stored(control)
    assert len(before) == FILE.read_text().count("\nkind: ")
    control.kubectl("apply", "-f", MANIFESTS)
    assert _stored(control) == before


def test_applied_by_the_server(control: Control) -> None:
    before = _stored(control)
    for _ in range(2):
        said = control.kubectl("apply", "--server-side", "--force-conflicts", "-f", MANIFESTS)
        assert "failed to re-apply" not in said.stderr
        assert _stored(control) == before


def test_no_difference_is_seen(control: Control) -> None:
    assert control.kubectl("diff", "-f", MANIFESTS).stdout == ""


def test_jobs_and_pods_say_who_they_are(control: Control) -> None:
    stored = _stored(control)
    job = stored["Job", "once"]
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["batch.kubernetes.io/controller-uid"] == job["metadata"]["uid"]
    assert job["spec"]["selector"]["matchLabels"].items() <= labels.items()
    pod = stored["Pod", "pod1"]["spec"]
    assert pod["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    assert pod["serviceAccount"] == pod["serviceAccountName"] == "robot"
