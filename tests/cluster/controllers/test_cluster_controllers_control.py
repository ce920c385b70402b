"""Access and controllers of a real control plane, as clients meet them; the file runs through once, in order."""

import base64
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from control_kit import Control, running_control

from boxship.cluster.api.audit.journal import parts_of, verify
from daemons import until

POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, nonResourceURLs: ["/readyz*"]}
- {level: Request, resources: [{group: "", resources: [configmaps]}]}
- {level: Metadata}
"""
DEADLINE = 30.0  # seconds


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    home = tmp_path_factory.mktemp("control")
    (home / "policy.yaml").write_text(POLICY)
    with running_control(home, "--audit-policy", str(home / "policy.yaml")) as running:
        yield running


def config_map(name: str, *owners: dict[str, str], **metadata: object) -> dict[str, object]:
    known = {"name": name, "ownerReferences": list(owners), **metadata} if owners else {"name": name, **metadata}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": known}


MAPS = "/api/v1/namespaces/default/configmaps"


def test_a_forbidden_request_names_the_role_that_would_allow_it(control: Control) -> None:
    until(lambda: control.request("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/view").object["rules"], 5, "")
    refused = control.kubectl("get", "pods", "--as", "jane", check=False)
    assert (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default": '
        'the ClusterRole "view" or the ClusterRole "edit" would allow it'
    ) in refused.stderr
    control.kubectl("create", "rolebinding", "jane", "--clusterrole=view", "--user=jane")
    assert control.kubectl("get", "pods", "--as", "jane").returncode == 0
    assert control.kubectl("auth", "can-i", "list", "pods", "--as", "jane").stdout == "yes\n"
    assert control.kubectl("auth", "can-i", "delete", "pods", "--as", "jane", check=False).stdout == "no\n"
    assert "kubernetes-admin" in control.kubectl("auth", "whoami").stdout


def test_nobody_in_particular_sees_health_alone(control: Control) -> None:
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert control.request("GET", path, client=None).status == 200
    for path in ("/api", "/api/v1/pods", "/metrics", "/openapi/v2", "/"):
        answer = control.request("GET", path, client=None)
        assert (answer.status, answer.object["reason"]) == (401, "Unauthorized")


def test_a_service_account_acts_by_its_token(control: Control) -> None:
    until(lambda: control.kubectl("get", "sa", "default", check=False).returncode == 0, 5, "the account is there")
    token = control.kubectl("create", "token", "default").stdout.strip()
    headers = {"Authorization": f"Bearer {token}"}
    refused = control.request("GET", "/api/v1/namespaces/default/secrets", headers=headers, client=None)
    assert refused.status == 403
    assert 'User "system:serviceaccount:default:default" cannot list' in refused.object["message"]
    assert control.request("GET", "/.well-known/openid-configuration", headers=headers, client=None).status == 200
    assert control.request("GET", "/api", headers={"Authorization": "Bearer x.y.z"}, client=None).status == 401


def test_secrets_are_sealed_on_the_disk(control: Control) -> None:
    control.kubectl("create", "secret", "generic", "sealed", "--from-literal=word=xylophone-7391")
    stored = b"".join(path.read_bytes() for path in control.data.iterdir() if path.name.startswith("state.db"))
    assert b"k8s:enc:aesgcm:v1:boxship:" in stored
    for form in (b"xylophone-7391", base64.b64encode(b"xylophone-7391")):
        assert form not in stored
    found = control.request("GET", "/api/v1/namespaces/default/secrets/sealed").object
    assert base64.b64decode(found["data"]["word"]) == b"xylophone-7391"


FLOOD = """\
import http.client, ssl, sys, threading
port, folder, path = sys.argv[1:]
context = ssl.create_default_context(cafile=folder + "/ca.crt")
context.load_cert_chain(folder + "/admin.crt", folder + "/admin.key")
def ask():
    connection = http.client.HTTPSConnection("127.0.0.1", int(port), context=context)
    while True:
        connection.request("GET", path, headers={"Impersonate-User": "greedy"})
        assert connection.getresponse().read()
        print("answered", flush=True)
for _ in range(40):
    threading.Thread(target=ask).start()
"""


def test_a_greedy_client_does_not_starve_the_others(control: Control) -> None:
    """One floods the API with lists over many connections; another's requests do not wait behind all of them."""
    connection = control.connection()
    for index in range(150):
        connection.request("POST", MAPS, json.dumps(config_map(f"bulk-{index}")), {"Content-Type": "application/json"})
        assert connection.getresponse().read()
    control.kubectl("create", "clusterrolebinding", "greedy", "--clusterrole=view", "--user=greedy", "--user=modest")
    arguments = [sys.executable, "-c", FLOOD, str(control.port), str(control.data / "pki"), MAPS]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as flood:
        try:
            assert flood.stdout is not None
            for _ in range(200):
                flood.stdout.readline()
            threading.Thread(target=flood.stdout.read, daemon=True).start()
            times: dict[str, list[float]] = {"modest": [], "greedy": []}
            for _ in range(40):
                for who, taken in times.items():
                    begin = time.monotonic()
                    connection.request("GET", f"{MAPS}/bulk-0", headers={"Impersonate-User": who})
                    assert connection.getresponse().read()
                    taken.append(time.monotonic() - begin)
        finally:
            flood.kill()
    assert statistics.median(times["modest"]) < 0.7 * statistics.median(times["greedy"])


def test_a_kill_loses_no_deletion(control: Control) -> None:
    """Owners and namespaces whose deletion began go on after a kill -9."""
    owner = control.request("POST", MAPS, config_map("owner")).object
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    control.request("POST", MAPS, config_map("leaf", reference, finalizers=["example.test/held"]))
    control.kubectl("create", "namespace", "ending")
    held = config_map("held", finalizers=["example.test/held"])
    assert control.request("POST", "/api/v1/namespaces/ending/configmaps", held).status == 201
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}
    assert control.request("DELETE", f"{MAPS}/owner", options).status in (200, 202)
    assert control.request("DELETE", "/api/v1/namespaces/ending").status in (200, 202)
    control.kill()
    control.start()
    patch, kind = [{"op": "remove", "path": "/metadata/finalizers"}], {"Content-Type": "application/json-patch+json"}
    until(lambda: control.request("GET", f"{MAPS}/leaf").object["metadata"].get("deletionTimestamp"), DEADLINE, "leaf")
    for path in (f"{MAPS}/leaf", "/api/v1/namespaces/ending/configmaps/held"):
        assert control.request("PATCH", path, patch, kind).status == 200
    until(lambda: control.request("GET", f"{MAPS}/owner").status == 404, DEADLINE, "the owner goes")
    until(lambda: control.request("GET", "/api/v1/namespaces/ending").status == 404, DEADLINE, "the namespace goes")


def test_what_was_done_is_written_down_in_a_chain(control: Control) -> None:
    assert control.request("POST", MAPS, config_map("told")).status == 201
    path = control.data / "audit.log"

    def told() -> list[dict[str, object]]:
        whole = path.read_bytes().rpartition(b"\n")[0]
        lines = [json.loads(line) for line in whole.splitlines() if b'"told"' in line]
        return [line for line in lines if line.get("requestObject") == config_map("told")]

    until(told, DEADLINE, "the request is written down")
    assert told()[0]["user"]["username"] == "kubernetes-admin"  # type: ignore[index]
    count, wrong = verify(parts_of(path))
    assert count > 100 and not wrong
    assert "Bearer" not in path.read_text() and path.stat().st_mode & 0o777 == 0o600


def test_a_second_start_writes_nothing_and_idles(control: Control) -> None:
    version = control.request("GET", "/api/v1/namespaces").object["metadata"]["resourceVersion"]
    control.stop()
    control.start()
    assert control.request("GET", "/api/v1/namespaces").status == 200
    after = control.request("GET", "/api/v1/namespaces").object["metadata"]["resourceVersion"]
    assert int(after) - int(version) <= 4  # its address goes and comes back
    assert "cannot settle" not in control.said() and "Traceback" not in control.said()


def spent(process: int) -> int:
    """Ticks of the processor that a process has had."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.undisturbed
def test_it_costs_next_to_nothing_when_nothing_happens(control: Control) -> None:
    assert control.process is not None
    seen: list[int] = []

    def is_quiet() -> bool:
        assert control.process is not None
        seen.append(spent(control.process.pid))
        return len(seen) > 50 and seen[-1] - seen[-50] <= 3  # a second, and at most three hundredths of it

    until(is_quiet, DEADLINE, "the control plane is quiet")
