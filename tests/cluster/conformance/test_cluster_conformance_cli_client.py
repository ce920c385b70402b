"""What the stock client does and prints, as the conformance list's section on kubectl asks, with every kubectl here."""

import contextlib
import http.client
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_kit import EVERY, program_of
from conformance_kit import Space

pytestmark = pytest.mark.slow

PRIMARY = """
    apiVersion: v1
    kind: ReplicationController
    metadata: {name: primary, labels: {app: store, role: primary}}
    spec:
      replicas: 1
      selector: {app: store, role: primary}
      template:
        metadata: {labels: {app: store, role: primary}}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - name: primary
            image: busybox
            imagePullPolicy: IfNotPresent
            command: [sh, -c, "echo '{\\"image\\": \\"kitten.jpg\\"}' > /tmp/data.json; exec httpd -f -p 6379 -h /tmp"]
            ports: [{name: server, containerPort: 6379}]
"""
SERVICE = """
    apiVersion: v1
    kind: Service
    metadata: {name: primary, labels: {app: store, role: primary}}
    spec:
      selector: {app: store, role: primary}
      ports: [{port: 6379, targetPort: server}]
"""


def _shows(text: str, *wanted: str) -> None:
    """One line after the other has the words, which are separated by |, in this order of lines."""
    lines = iter(text.splitlines())
    for each in wanted:
        words = each.split("|")
        line = next((line for line in lines if words[0] in line), None)
        assert line is not None, f"{each} is missing, or not in order, in\n{text}"
        assert all(word in line for word in words), f"{each} in {line}"


# Covers: Kubectl, check version v1; Kubectl, cluster info; Kubectl, version.
@EVERY
def test_the_cluster_says_what_it_is(space: Space, version: str) -> None:
    words = space.kubectl("api-versions", program=version).split()
    assert {"v1", "apps/v1", "batch/v1", "certificates.k8s.io/v1", "events.k8s.io/v1"} <= set(words)
    said = re.sub(r"\x1b\[[0-9;]*m", "", space.kubectl("cluster-info", program=version))
    assert f"is running at {space.cluster.control.url}" in said and "ontrol plane" in said
    both = json.loads(space.kubectl("version", "-o", "json", program=version))
    for each in ("clientVersion", "serverVersion"):
        assert both[each]["major"] == "1" and re.fullmatch(r"\d+\+?", both[each]["minor"])
        assert both[each]["gitVersion"].startswith("v1.")
        assert {"gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"} <= set(both[each])
    text = space.kubectl("version", program=version)
    assert "Client Version:" in text and "Server Version:" in text and both["serverVersion"]["gitVersion"] in text


# Covers: Kubectl, describe pod or rc; Kubectl, create service, replication controller; Kubectl, patch to annotate.
@EVERY
def test_a_controller_is_described_exposed_and_its_pods_annotated(space: Space, version: str) -> None:
    def run(*words: str, data: str | None = None) -> str:
        return space.kubectl(*words, program=version, data=data)

    space.apply(PRIMARY + "    ---" + SERVICE)
    space.until_pods(1, "role=primary")
    pod = space.get("pods", "-l", "role=primary")[0]["metadata"]["name"]
    _shows(
        run("describe", "pod", pod),
        f"Name:|{pod}",
        f"Namespace:|{space.name}",
        "Node:|node",
        "Labels:|app=store",
        "role=primary",
        "Annotations:",
        "Status:|Running",
        "IP:|10.",
        "Controlled By:|ReplicationController/primary",
        "Image:|busybox",
        "State:|Running",
        "Mounts:",
        "/var/run/secrets/kubernetes.io/serviceaccount from kube-api-access-|(ro)",
        "QoS Class:|BestEffort",
        "Events:",
    )

    def rc() -> str:
        return run("describe", "rc", "primary")

    space.until(lambda: "1 Running" in rc() and "SuccessfulCreate" in rc(), "the controller tells of its pod")
    _shows(
        rc(),
        "Name:|primary",
        f"Namespace:|{space.name}",
        "Selector:|app=store,role=primary",
        "Labels:|app=store",
        "role=primary",
        "Annotations:",
        "Replicas:|1 current|1 desired",
        "Pods Status:|1 Running|0 Waiting|0 Succeeded|0 Failed",
        "Pod Template:",
        "Image:|busybox",
        "Events:",
    )
    _shows(
        run("describe", "service", "primary"),
        "Name:|primary",
        f"Namespace:|{space.name}",
        "Labels:|app=store",
        "role=primary",
        "Annotations:",
        "Selector:|app=store|role=primary",
        "Type:|ClusterIP",
        "IP:",
        "Port:|<unset>|6379/TCP",
        "Endpoints:|:6379",
        "Session Affinity:|None",
    )
    _shows(
        run("describe", "node", "node1"),
        "Name:|node1",
        "Labels:|kubernetes.io/",
        "Annotations:",
        "CreationTimestamp:",
        "Conditions:",
        "Type|Status|LastHeartbeatTime|LastTransitionTime|Reason|Message",
        "Ready|True|KubeletReady",
        "Addresses:",
        "Capacity:",
        "Allocatable:",
        "Kernel Version:",
        "OS Image:",
        "Container Runtime Version:|boxship://",
        "Kubelet Version:|v1.",
        "Pods:",
    )
    _shows(run("describe", "namespace", space.name), f"Name:|{space.name}", "Labels:", "Annotations:", "Status:|Active")

    for source, name, port in (("rc/primary", "rm2", 1234), ("service/rm2", "rm3", 2345)):
        run("expose", source, f"--name={name}", f"--port={port}", "--target-port=6379")
        made = space.read(f"services/{name}")["spec"]["ports"]
        assert [(one["port"], one["targetPort"]) for one in made] == [(port, 6379)]
        space.until(lambda name=name: _ports(space, name) == [6379], f"{name} leads to the pod")  # type: ignore[misc]

    run("patch", "pod", pod, "-p", '{"metadata":{"annotations":{"x":"y"}}}')
    assert space.pod(pod)["metadata"]["annotations"]["x"] == "y"


def _ports(space: Space, name: str) -> list[int]:
    """The ports where the Endpoints of a service lead."""
    found = space.request("GET", f"endpoints/{name}")
    subsets = (found.object.get("subsets") or ()) if found.status == 200 else ()
    return [port["port"] for subset in subsets for port in subset["ports"] if subset.get("addresses")]


# Covers: Kubectl, diff Deployment; Kubectl, server-side dry-run Pod; Kubectl, run pod; Kubectl, replace;
#   Kubectl, label update.
@EVERY
def test_images_and_labels_change(space: Space, version: str) -> None:
    def run(*words: str, data: str | None = None) -> str:
        return space.kubectl(*words, program=version, data=data)

    # Pods first: they begin while the Deployment is looked at.
    quick = ("--image-pull-policy=IfNotPresent", "--command")
    run("run", "never", "--restart=Never", "--image=nothing.invalid/one", *quick, "--", "sleep", "60")
    run("run", "changing", "--labels=run=changing", "--image=busybox", *quick, "--", "sleep", "60")
    made = space.pod("never")["spec"]
    assert made["restartPolicy"] == "Never"
    assert [one["image"] for one in made["containers"]] == ["nothing.invalid/one"]

    wanted = run("create", "deployment", "web", "--image=httpd:1", "--dry-run=client", "-o", "json")
    run("create", "-f", "-", data=wanted)
    done = space.cluster.kubectl(
        *("-n", space.name, "diff", "-f", "-"),
        data=wanted.replace("httpd:1", "busybox:2"),
        check=False,
        program=version,
    )
    assert done.returncode == 1, done
    assert re.search(r"(?m)^-\s+- image: httpd:1$", done.stdout) and re.search(
        r"(?m)^\+\s+- image: busybox:2$", done.stdout
    )
    run("delete", "-f", "-", data=wanted)

    space.until_ready("changing")
    there = run("get", "pod", "changing", "-o", "json")
    changed = there.replace('"busybox"', '"busybox:latest"')
    assert changed != there
    run("replace", "-f", "-", "--dry-run=server", data=changed)
    assert space.pod("changing")["spec"]["containers"][0]["image"] == "busybox"
    run("patch", "pod", "changing", "--dry-run=server", "-p", _image("busybox:latest"))
    assert space.pod("changing")["spec"]["containers"][0]["image"] == "busybox"
    run(
        "replace",
        "-f",
        "-",
        data=run("get", "pod", "changing", "-o", "json").replace('"busybox"', '"busybox:latest"', 1),
    )
    assert space.pod("changing")["spec"]["containers"][0]["image"] == "busybox:latest"

    run("label", "pods", "changing", "testing=words-of-it")
    assert "words-of-it" in run("get", "pod", "changing", "-L", "testing")
    assert run("get", "pod", "-l", "testing=words-of-it", "-o", "name") == "pod/changing\n"
    run("label", "pods", "changing", "testing-")
    assert "words-of-it" not in run("get", "pod", "changing", "-L", "testing")
    assert not run("get", "pod", "-l", "testing", "-o", "name")
    run("delete", "pods", "--all", "--grace-period=0", "--force")


def _image(name: str) -> str:
    return json.dumps({"spec": {"containers": [{"name": "changing", "image": name}]}})


@contextlib.contextmanager
def _proxied(space: Space, *words: str, program: str = "") -> Iterator[str]:
    """What `kubectl proxy` says when it serves."""
    process = subprocess.Popen(
        [*space.cluster.nodes[0].namespace.enter, program_of(program), "proxy", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=space.cluster.kubectl_environment(),
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().decode()
    finally:
        process.kill()
        process.wait()


# Covers: Kubectl, proxy port zero; Kubectl, proxy socket.
@EVERY
def test_the_api_is_had_through_a_proxy(space: Space, version: str, tmp_path: Path) -> None:
    with _proxied(space, "--port=0", "--disable-filter", program=version) as said:
        port = re.search(r"127\.0\.0\.1:(\d+)", said)
        assert port is not None, said
        page = space.cluster.nodes[0].namespace.page(f"http://127.0.0.1:{port.group(1)}/api/")
        assert json.loads(page)["versions"] == ["v1"]
        # A client that goes through it: its streams are taken over twice.
        space.kubectl("run", "p", "--image=busybox", "--image-pull-policy=IfNotPresent", "--", "sleep", "600")
        space.until_ready("p")
        through = f"--server=http://127.0.0.1:{port.group(1)}"
        assert space.kubectl(through, "exec", "p", "--", "echo", "through it", program=version) == "through it\n"
    path = tmp_path / "s"
    with _proxied(space, f"--unix-socket={path}", program=version) as said:
        assert str(path) in said
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(path))
        connection.request("GET", "/api")
        answer = connection.getresponse()
        assert answer.status == 200 and json.loads(answer.read())["versions"] == ["v1"]
        connection.close()


# Covers: Kubectl, replication controller; Kubectl, scale replication controller.
def test_a_controller_is_scaled(space: Space) -> None:
    """What runs is asked by templates, and what it serves through the API."""
    names = "--template={{range .items}}{{.metadata.name}} {{end}}"
    running = (
        '--template={{if (exists . "status" "containerStatuses")}}{{range .status.containerStatuses}}'
        '{{if (and (eq .name "primary") (exists . "state" "running"))}}true{{end}}{{end}}{{end}}'
    )

    def serve(count: int) -> bool:
        pods = space.kubectl("get", "pods", "-o", "template", names, "-l", "role=primary").split()
        return len(pods) == count and all(
            space.kubectl("get", "pods", pod, "-o", "template", running) == "true"
            and space.request("GET", f"pods/{pod}:6379/proxy/data.json").body == b'{"image": "kitten.jpg"}\n'
            for pod in pods
        )

    space.apply(PRIMARY.replace("replicas: 1", "replicas: 2"))
    space.until(lambda: serve(2), "two serve")
    for count in (1, 2):
        space.kubectl("scale", "rc", "primary", f"--replicas={count}", "--timeout=1m")
        space.until(lambda count=count: serve(count), f"{count} serve")  # type: ignore[misc]
    space.kubectl("delete", "--grace-period=0", "--force", "rc", "primary")
    space.until(
        lambda: not space.kubectl("get", "rc,svc,pods", "-l", "app=store", "--no-headers").strip(), "all is gone"
    )
