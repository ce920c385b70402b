"""An operator written on kopf, with its definition and webhooks, works as against the original."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from control_kit import Control, running_control

from boxship.pki import authority
from boxship.pki.names import subject_for
from daemons import surroundings, until

OPERATOR = Path(__file__).with_name("jars_operator.py")
GROUP = "jars.example.com"
JARS = f"/apis/{GROUP}/v1/namespaces/default/jars"
MAPS = "/api/v1/namespaces/default/configmaps"
DEADLINE = 40.0  # seconds
MERGE = {"Content-Type": "application/merge-patch+json"}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"jars.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "jars", "kind": "Jar"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "content": {"type": "string"},
                                    "size": {"type": "integer", "default": 1},
                                },
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """A control plane with the operator at work."""
    home = tmp_path_factory.mktemp("kopf")
    with running_control(home) as control:
        made = control.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", DEFINITION)
        assert made.status == 201, made.body
        until(lambda: control.request("GET", JARS).status == 200, DEADLINE, "jars are served")
        log = (home / "operator.log").open("ab")
        words = [sys.executable, "-m", "kopf", "run", str(OPERATOR), "--namespace", "default", "--standalone"]
        now = datetime.now(UTC)
        authority.create(home / "pki", "operators", now)
        hooks = authority.open_authority(home / "pki").issue_server(subject_for("hooks", ("127.0.0.1",)), now)
        environment = {**surroundings(), "KUBECONFIG": str(control.kubeconfig), "HOME": str(home), "HOOKS": str(hooks)}
        operator = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        log.close()
        try:
            until(
                lambda: operator.poll() is not None or has_webhooks(control),
                DEADLINE,
                lambda: (home / "operator.log").read_text()[-3000:],
            )
            assert operator.poll() is None, (home / "operator.log").read_text()[-3000:]
            yield control
        finally:
            operator.terminate()
            operator.wait(DEADLINE)


def has_webhooks(control: Control) -> bool:
    """Whether the operator has written both of its configurations, with webhooks in them."""
    group = "/apis/admissionregistration.k8s.io/v1"
    lists = [
        control.request("GET", f"{group}/{kind}webhookconfigurations").object for kind in ("validating", "mutating")
    ]
    return all(any(item.get("webhooks") for item in found["items"]) for found in lists)


def jar(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Jar", "metadata": {"name": name}, "spec": spec}


def content_of(control: Control, name: str) -> str | None:
    found = control.request("GET", f"{MAPS}/{name}")
    return str(found.object["data"]["content"]) if found.status == 200 else None


def test_an_operator_makes_changes_and_takes_down(control: Control) -> None:
    made = control.request("POST", JARS, jar("honey", content="honey", size=7))
    assert made.status == 201, made.body
    assert made.object["metadata"]["labels"] == {"size": "large"}  # by the mutating webhook
    until(lambda: content_of(control, "honey") == "honey", DEADLINE, "its config map")
    until(
        lambda: control.request("GET", f"{JARS}/honey").object.get("status", {}).get("fill") == {"content": "honey"},
        DEADLINE,
        "its status",
    )
    there = control.request("GET", f"{JARS}/honey").object
    assert there["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
    owners = control.request("GET", f"{MAPS}/honey").object["metadata"]["ownerReferences"]
    assert [owner["uid"] for owner in owners] == [there["metadata"]["uid"]]
    changed = control.request("PATCH", f"{JARS}/honey", {"spec": {"content": "jam", "size": 2}}, MERGE)
    assert changed.object["metadata"]["labels"] == {"size": "small"}
    until(lambda: content_of(control, "honey") == "jam", DEADLINE, "the change")
    events = "/api/v1/namespaces/default/events"
    until(
        lambda: "Filled" in {event["reason"] for event in control.request("GET", events).object["items"]},
        DEADLINE,
        "events",
    )
    gone = control.request("DELETE", f"{JARS}/honey")
    assert gone.status == 200
    until(lambda: control.request("GET", f"{JARS}/honey").status == 404, DEADLINE, "its finalizer is taken off")
    assert content_of(control, "honey-was-emptied") == ""
    until(lambda: content_of(control, "honey") is None, DEADLINE, "the collector follows")


def test_its_webhooks_refuse_and_warn(control: Control) -> None:
    refused = control.request("POST", JARS, jar("sea", content="water", size=11))
    assert refused.status == 422 and "a jar holds at most 10" in refused.object["message"]
    assert control.request("GET", f"{JARS}/sea").status == 404
    wrong = control.request("POST", JARS, jar("wrong", content=5))
    assert wrong.status == 422 and "spec.content: Invalid value" in wrong.object["message"]
    warned = control.request("POST", f"{JARS}?dryRun=All", jar("nothing"))
    assert warned.status == 201 and "the jar is empty" in warned.headers.get("Warning", "")
    assert control.request("GET", f"{JARS}/nothing").status == 404
