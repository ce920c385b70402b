"""The audit: what a policy asks for, lines in a chain, whole after a kill."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from boxship.cluster.api.audit import auditor as auditing
from boxship.cluster.api.audit.auditor import Auditor
from boxship.cluster.api.audit.journal import FIELD, Journal, last_of, parts_of, verify
from boxship.cluster.api.audit.policy import Level, Policy, policy_of
from boxship.cluster.api.clock import SystemClock
from boxship.cluster.api.gate import Visit
from boxship.cluster.api.request import Answer, Ask, Body, Decision, Request, User
from boxship.cluster.objects.catalog import built_in
from boxship.cluster.objects.failure import not_found
from boxship.errors import Invalid

JANE = User("jane", ("team",))


def policy(*rules: dict[str, Any], **more: Any) -> Policy:
    return policy_of({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more})


SECRETS = {"group": "", "resources": ["secrets"]}
RULES = policy(
    {"level": "None", "users": ["robot"]},
    {"level": "None", "nonResourceURLs": ["/healthz*"]},
    {"level": "Metadata", "resources": [SECRETS]},
    {"level": "RequestResponse", "verbs": ["create"], "namespaces": ["prod"], "omitStages": ["RequestReceived"]},
    {"level": "Request", "userGroups": ["team"], "resources": [{"group": "apps", "resources": ["*/scale"]}]},
    {"level": "Metadata", "resources": [{"group": "", "resources": ["pods"], "resourceNames": ["web"]}]},
)


@pytest.mark.parametrize(
    ("ask", "level"),
    [
        (Ask(User("robot"), "get", resource="secrets"), Level.NONE),
        (Ask(JANE, "get", path="/healthz/etcd"), Level.NONE),
        (Ask(JANE, "create", resource="secrets", namespace="prod"), Level.METADATA),
        (Ask(JANE, "create", resource="pods", namespace="prod"), Level.REQUEST_RESPONSE),
        (Ask(JANE, "update", group="apps", resource="deployments", subresource="scale"), Level.REQUEST),
        (Ask(User("joe"), "update", group="apps", resource="deployments", subresource="scale"), Level.NONE),
        (Ask(JANE, "get", resource="pods", name="web"), Level.METADATA),
        (Ask(JANE, "get", resource="pods", name="other"), Level.NONE),
        (Ask(JANE, "get", path="/metrics"), Level.NONE),
    ],
)
def test_the_first_rule_that_matches_counts(ask: Ask, level: Level) -> None:
    assert RULES.decide(ask).level is level


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (None, "its kind is not Policy"),
        ({"kind": "Policy", "apiVersion": "audit.k8s.io/v1beta1", "rules": []}, "apiVersion"),
        ({"kind": "Policy", "apiVersion": "audit.k8s.io/v1"}, "0 rules"),
        ([{"level": "All"}], "is no level"),
        ([{"level": "None", "user": ["x"]}], 'unknown field "user"'),
        ([{"level": "None", "omitStages": ["Begin"]}], "is no stage"),
        ([{"level": "None", "nonResourceURLs": ["/x"], "namespaces": ["a"]}], "non-resource URLs"),
        ([{"level": "None", "resources": [{"resourceNames": ["a"]}]}], "at least one resource"),
        ([{"level": "None", "verbs": "get"}], "not a list of texts"),
    ],
)
def test_a_wrong_policy_is_refused(document: Any, why: str) -> None:
    if isinstance(document, list):
        document = {"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": document}
    with pytest.raises(Invalid, match=why):
        policy_of(document)


def written(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def test_lines_are_chained_over_openings_and_files(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    for _ in range(3):
        journal = Journal(path, most_bytes=150, kept=2)
        journal.write([{"n": 1}, {"n": 2}])
        journal.write([{"n": 3}])
        journal.close()
    parts = parts_of(path)
    assert len(parts) == 3 and path.stat().st_mode & 0o777 == 0o600
    count, wrong = verify(parts)
    assert count >= 5 and not wrong


@pytest.mark.parametrize("damage", ["change", "take out", "put in", "swap"])
def test_what_was_changed_is_found(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "audit.log"
    journal = Journal(path)
    journal.write([{"n": number} for number in range(5)])
    journal.close()
    assert verify([path]) == (5, [])
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "change":
        lines[2] = lines[2].replace(b'"n":2', b'"n":9')
    elif damage == "take out":
        del lines[2]
    elif damage == "put in":
        lines.insert(2, lines[1].replace(b'"n":1', b'"n":7'))
    else:
        lines[2], lines[3] = lines[3], lines[2]
    path.write_bytes(b"".join(lines))
    assert verify([path])[1]


def test_half_a_line_is_cut_off_and_the_chain_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    journal = Journal(path)
    journal.write([{"text": "x" * 200_000}, {"n": 2}])
    journal.close()
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"n":3,"previousH')
    again = Journal(path)
    assert path.stat().st_size == whole
    again.write([{"n": 4}])
    again.close()
    assert verify([path]) == (3, [])
    assert last_of(path) == path.read_bytes().splitlines()[-1]


def test_a_kill_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    program = (
        "import sys, pathlib\n"
        "from boxship.cluster.api.audit.journal import Journal\n"
        "journal = Journal(pathlib.Path(sys.argv[1]), most_bytes=20000, kept=1000)\n"
        "while True:\n"
        "    journal.write([{'text': 'x' * 300}, {'n': 1}])\n"
        "    print('written', flush=True)\n"
    )
    for _ in range(3):
        running = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
        assert running.stdout is not None
        acknowledged = 0
        while acknowledged < 30:
            acknowledged += running.stdout.readline() == b"written\n"
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        running.stdout.close()
    Journal(path).close()
    count, wrong = verify(parts_of(path))
    assert count >= 3 * 30 * 2 and not wrong


def visit(**more: Any) -> Visit:
    return Visit(
        audit_id="a-1",
        method="POST",
        uri="/api/v1/namespaces/prod/configmaps",
        headers={},
        peer="192.0.2.9",
        agent="kubectl",
        user=JANE,
        **more,
    )


async def test_a_request_becomes_lines(tmp_path: Path) -> None:
    rules = policy({"level": "RequestResponse", "omitManagedFields": True})
    maker = Auditor(rules, Journal(tmp_path / "audit.log"), SystemClock())
    task = asyncio.create_task(maker.run())
    resource = built_in("", "v1", "configmaps")
    assert resource is not None
    data = b'{"metadata":{"name":"x","managedFields":[1]}}'
    request = Request(
        JANE, "create", resource, "prod", "", body=Body("application/json", data), notes={"pod-security": "ok"}
    )
    coming = visit(acting=User("root"), decision=Decision(True, "RBAC"))
    ask = Ask(User("root"), "create", "", "v1", "configmaps", namespace="prod")
    trail = maker.begin(coming, ask, request)
    assert trail is not None
    trail.received()
    trail.completed(201, Answer(201, data), None)
    other = maker.begin(visit(), Ask(JANE, "get", "", "v1", "configmaps", name="y"), None)
    assert other is not None
    other.completed(404, None, not_found(resource, "y"))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    first, second, third = written(tmp_path / "audit.log")
    assert (first["stage"], second["stage"]) == ("RequestReceived", "ResponseComplete")
    assert first["user"] == {"username": "jane", "groups": ["team"]} and first["sourceIPs"] == ["192.0.2.9"]
    assert first["impersonatedUser"] == {"username": "root"}
    assert second["requestObject"] == second["responseObject"] == {"metadata": {"name": "x"}}
    assert second["annotations"] == {
        "pod-security": "ok",
        "authorization.k8s.io/decision": "allow",
        "authorization.k8s.io/reason": "RBAC",
    }
    assert second["objectRef"] == {"resource": "configmaps", "namespace": "prod", "name": "x", "apiVersion": "v1"}
    assert "name" not in first["objectRef"]
    assert third["responseStatus"]["reason"] == "NotFound" and third["responseStatus"]["code"] == 404
    assert datetime.fromisoformat(first["requestReceivedTimestamp"]).tzinfo is not None
    assert FIELD in first


async def test_what_does_not_fit_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "QUEUE_LINES", 3)
    maker = Auditor(policy({"level": "Metadata"}), Journal(tmp_path / "audit.log"), SystemClock())
    trail = maker.begin(visit(), Ask(JANE, "get", "", "v1", "pods"), None)
    assert trail is not None
    for _ in range(5):
        trail.received()
    await maker._flush()
    lines = written(tmp_path / "audit.log")
    assert len(lines) == 4 and lines[0]["annotations"] == {"boxship/lost-events": "2"}
