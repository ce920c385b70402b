"""kubectl get with all that it can be told: outputs, selections, sorting, pages, watches; describe, explain, events."""

import select
import subprocess
from collections.abc import Iterator

import pytest
from control_kit import Control
from kubectl_kit import Kubectl, rows

from daemons import kubectl_program, surroundings, until


@pytest.fixture
def maps(k: Kubectl) -> Kubectl:
    """Three config maps."""
    k(
        "apply --server-side -f -",
        "\n---\n".join(
            "apiVersion: v1\nkind: ConfigMap\n"
            f"metadata: {{name: m{number}, labels: {{odd: '{number % 2}', num: '{number}'}}}}\n"
            f"data: {{size: '{9 - number}'}}"
            for number in range(3)
        ),
    )
    return k


def test_outputs(maps: Kubectl) -> None:
    k = maps
    assert k("get cm m0 -o name") == "configmap/m0\n"
    assert k("get cm m0 m1 -o jsonpath={.items[*].metadata.name}") == "m0 m1"
    assert k("get cm -l num -o jsonpath={range.items[*]}{.metadata.name}:{.data.size};{end}") == "m0:9;m1:8;m2:7;"
    template = "{{range.items}}{{.metadata.name}}={{.data.size}} {{end}}"
    assert k(f"get cm -l num -o go-template='{template}'") == "m0=9 m1=8 m2=7 "
    columns = "NAME:.metadata.name,SIZE:.data.size,NONE:.data.none"
    assert rows(k(f"get cm -l num -o custom-columns={columns}"))[0] == ["m0", "9", "<none>"]
    assert k("get cm m0 -o yaml").startswith('apiVersion: v1\ndata:\n  size: "9"\nkind: ConfigMap\n')
    assert k.json("get cm -l num")["kind"] == "List" and len(k.json("get cm -l num")["items"]) == 3
    assert "managedFields" in k("get cm m0 -o yaml --show-managed-fields")
    assert k("get cm m0 --no-headers").split()[:2] == ["m0", "1"]
    assert k("get cm/m0 cm/m1 -o name").split() == ["configmap/m0", "configmap/m1"]
    assert "m0" in k("get configmap,secret -A")
    head = k("get cm -L odd,num").splitlines()[0].split()
    assert head == ["NAME", "DATA", "AGE", "ODD", "NUM"]
    assert "num=2,odd=0" in k("get cm m2 --show-labels")
    assert k("get cm m0 --output-watch-events=false -o name --ignore-not-found") == "configmap/m0\n"
    assert k("get cm none --ignore-not-found") == ""
    assert k.fails("get cm none") == 'Error from server (NotFound): configmaps "none" not found'
    assert k.fails("get nothings") == 'error: the server doesn\'t have a resource type "nothings"'


def test_selections(maps: Kubectl) -> None:
    k = maps
    assert k("get cm -l odd=0 -o name").split() == ["configmap/m0", "configmap/m2"]
    assert k("get cm -l 'num in (1,2),odd!=0' -o name").split() == ["configmap/m1"]
    assert k("get cm -l '!num' -o name").split() == ["configmap/kube-root-ca.crt"]
    assert k("get cm -l 'num notin (1),num' -o name").split() == ["configmap/m0", "configmap/m2"]
    assert k("get cm --field-selector metadata.name=m1 -o name") == "configmap/m1\n"
    assert "data.size" in k.fails("get cm --field-selector data.size=1")
    assert k("get cm -l num --sort-by=.data.size -o name").split() == ["configmap/m2", "configmap/m1", "configmap/m0"]
    assert k("get cm -l num --sort-by=.data.size").splitlines()[1].startswith("m2")
    assert k("get cm -l num --chunk-size=1 -o name").split() == ["configmap/m0", "configmap/m1", "configmap/m2"]
    listed = k.control.request("GET", f"/api/v1/namespaces/{k.namespace}/configmaps?labelSelector=num&limit=2").object
    assert len(listed["items"]) == 2 and listed["metadata"]["continue"]


@pytest.fixture
def watching(plane: Control) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Processes that are ended after the test."""
    begun: list[subprocess.Popen[bytes]] = []
    yield begun
    for process in begun:
        process.kill()
        process.communicate()


def start(k: Kubectl, begun: list["subprocess.Popen[bytes]"], *words: str) -> "subprocess.Popen[bytes]":
    environment = {**surroundings(), "KUBECONFIG": str(k.control.kubeconfig), "HOME": str(k.control.home)}
    begun.append(
        subprocess.Popen(
            [kubectl_program(), "-n", k.namespace, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
    )
    return begun[-1]


def line_of(process: "subprocess.Popen[bytes]") -> list[str]:
    """The next line's words."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 15)[0], "no line within 15 s"
    return process.stdout.readline().decode().split()


def test_watches(maps: Kubectl, watching: list["subprocess.Popen[bytes]"]) -> None:
    k = maps
    rows_of = start(k, watching, "get", "cm", "-l", "num", "-w")
    assert [line_of(rows_of)[0] for _ in range(4)] == ["NAME", "m0", "m1", "m2"]
    only = start(k, watching, "get", "cm", "-l", "num", "--watch-only", "--output-watch-events")
    raw = start(k, watching, "get", "cm", "m1", "-w", "-o", "jsonpath={.data.size}{'\\n'}")
    assert line_of(raw) == ["8"]
    until(lambda: _open_watches(k) >= 3, 10, "three watches are open")
    k("""patch cm m1 -p '{"data":{"size":"1"}}'""")
    assert line_of(rows_of)[0] == "m1" and line_of(raw) == ["1"]
    assert line_of(only) == ["EVENT", "NAME", "DATA", "AGE"]
    assert line_of(only)[:3] == ["MODIFIED", "m1", "1"]
    k("delete cm m2")
    assert line_of(rows_of)[0] == "m2" and line_of(only)[:2] == ["DELETED", "m2"]


def _open_watches(k: Kubectl) -> int:
    lines = k("get --raw /metrics").splitlines()
    found = [line for line in lines if line.startswith("apiserver_longrunning_requests{") and '"configmaps"' in line]
    return sum(int(line.rpartition(" ")[2]) for line in found)


def test_descriptions(maps: Kubectl) -> None:
    k = maps
    shown = k("describe cm m0")
    assert "Name:         m0" in shown and "size:\n----\n9\n" in shown
    assert k("describe cm -l odd=0").count("Name:  ") == 2
    k("create quota limits --hard=pods=3,configmaps=10")
    k("create service clusterip front --tcp=80:8080")
    assert "pods" in k("describe quota limits") and "8080/TCP" in k("describe service front")
    assert "Status:       Active" in k(f"describe namespace {k.namespace}")
    assert "Resource Quotas" in k(f"describe namespace {k.namespace}")
    k("create ingress site --rule=a.example/x*=front:80 --class=none")
    assert "a.example" in k("describe ingress site") and "front:80" in k("describe ingress site")
    for kind in ("serviceaccount default", "secret", "clusterrole view", "clusterrolebinding cluster-admin"):
        assert "Name:" in k(f"describe {kind}") or kind == "secret"
    assert "PolicyRule:" in k("describe clusterrole view")
    assert "not found" in k.fails("describe pod none")


def test_explanations(k: Kubectl) -> None:
    assert "FIELDS:" in k("explain pods") and "GROUP:      apps" in k("explain deployments")
    assert "FIELD: containers <[]Container>" in k("explain pod.spec.containers")
    assert "-required-" in k("explain pod.spec.containers")
    assert "livenessProbe" in k("explain pod.spec --recursive")
    assert "VERSION:    v1" in k("explain hpa --api-version=autoscaling/v1")
    assert "ENUM:" in k("explain pod.spec.restartPolicy")
    assert 'field "nothing" does not exist' in k.fails("explain pod.spec.nothing")


def test_events(k: Kubectl) -> None:
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e1"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": k.namespace, "apiVersion": "v1"},
        "reason": "Testing",
        "message": "a word",
        "type": "Warning",
        "count": 2,
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "source": {"component": "tests"},
    }
    path = f"/api/v1/namespaces/{k.namespace}/events"
    assert k.control.request("POST", path, event).status == 201
    assert rows(k("get events"))[0][1:] == ["Warning", "Testing", "pod/p", "a word"]
    assert "Testing" in k("events") and "Testing" in k("events --for pod/p --types=Warning")
    assert k("get events --field-selector involvedObject.name=p,reason=Testing -o name") == "event/e1\n"
    assert k("get events.events.k8s.io e1 -o jsonpath={.note}") == "a word"
