"""`boxship get`, `describe`, `apply`, `delete`, `scale` and `rollout` against a real control plane."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from control_kit import Control, running_control

from daemons import surroundings, until

BOXSHIP = str(Path(sys.executable).parent / "boxship")
WEB = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web, namespace: shop, labels: {app: web}}
  spec:
    replicas: 2
    selector: {matchLabels: {app: web}}
    template:
      metadata: {labels: {app: web}}
      spec: {containers: [{name: web, image: "shop/web:1"}]}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: settings, namespace: shop}
  data: {color: blue}
"""


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("kube")) as control:
        yield control


def boxship(
    control: Control, *words: str, check: bool = True, data: str | None = None
) -> "subprocess.CompletedProcess[str]":
    environment = {**surroundings(), "KUBECONFIG": str(control.kubeconfig), "HOME": str(control.home)}
    done = subprocess.run(
        [BOXSHIP, *words], input=data, capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert not check or done.returncode == 0, done.stderr + done.stdout
    return done


def test_apply_and_get(control: Control) -> None:
    assert boxship(control, "apply", "-f", "-", data=WEB).stdout.splitlines() == [
        "namespace/shop created",
        "deployment.apps/web created",
        "configmap/settings created",
    ]
    assert set(boxship(control, "apply", "-f", "-", data=WEB).stdout.split()[1::2]) == {"unchanged"}
    changed = boxship(control, "apply", "-f", "-", data=WEB.replace("blue", "red")).stdout
    assert "configmap/settings configured" in changed and "deployment.apps/web unchanged" in changed
    dry = boxship(control, "apply", "--dry-run", "server", "-f", "-", data=WEB).stdout
    assert "configmap/settings configured (server dry run)" in dry
    table = boxship(control, "get", "deploy", "-n", "shop").stdout.splitlines()
    assert table[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"] and table[1].startswith("web ")
    wide = boxship(control, "get", "deploy", "-n", "shop", "-o", "wide", "--show-labels").stdout
    assert "shop/web:1" in wide and wide.splitlines()[1].endswith("app=web")
    assert boxship(control, "get", "cm/settings", "deploy/web", "-n", "shop", "-o", "name").stdout.split() == [
        "configmap/settings",
        "deployment.apps/web",
    ]
    path = "{.items[*].metadata.name}"
    assert "settings" in boxship(control, "get", "cm", "-n", "shop", "-o", f"jsonpath={path}").stdout.split()
    columns = boxship(
        control, "get", "cm", "settings", "-n", "shop", "-o", "custom-columns=N:.metadata.name,C:.data.color"
    )
    assert [line.split() for line in columns.stdout.splitlines()] == [["N", "C"], ["settings", "red"]]
    made = json.loads(boxship(control, "get", "cm", "settings", "-n", "shop", "-o", "json").stdout)
    assert made["data"] == {"color": "red"} and "managedFields" not in made["metadata"]
    assert boxship(control, "get", "deploy,cm", "-n", "shop").stdout.count("NAME ") == 2
    everywhere = boxship(control, "get", "cm", "-A", "-l", "app=none")
    assert everywhere.stdout == "" and "No resources found" in everywhere.stderr


def test_describe(control: Control) -> None:
    text = boxship(control, "describe", "deploy/web", "-n", "shop").stdout
    assert text.startswith("Name:          web\nNamespace:     shop\nLabels:        app=web\n")
    assert "  Replicas:  2\n" in text and "\nEvents:" in text
    control.request("POST", "/api/v1/namespaces/shop/secrets", {"metadata": {"name": "s"}, "data": {"k": "c2VjcmV0"}})
    secret = boxship(control, "describe", "secret", "s", "-n", "shop").stdout
    assert "k:  6 bytes" in secret and "c2VjcmV0" not in secret


def test_scale_and_rollout(control: Control) -> None:
    assert (
        boxship(control, "scale", "deploy/web", "-n", "shop", "--replicas", "5").stdout
        == "deployment.apps/web scaled\n"
    )
    refused = boxship(
        control, "scale", "deploy/web", "-n", "shop", "--replicas", "1", "--current-replicas", "2", check=False
    )
    assert refused.returncode == 1 and "Expected replicas to be 2, was 5" in refused.stderr
    assert "it has no replicas" in boxship(control, "scale", "cm/settings", "--replicas", "1", check=False).stderr
    path = "/apis/apps/v1/namespaces/shop/deployments/web"
    assert control.request("GET", path).object["spec"]["replicas"] == 5
    boxship(control, "rollout", "pause", "deploy/web", "-n", "shop")
    assert control.request("GET", path).object["spec"]["paused"] is True
    assert "already paused" in boxship(control, "rollout", "pause", "deploy/web", "-n", "shop", check=False).stderr
    boxship(control, "rollout", "resume", "deploy/web", "-n", "shop")
    boxship(control, "rollout", "restart", "deploy/web", "-n", "shop")
    template = control.request("GET", path).object["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    assert (
        "no rollout for configmap/settings"
        in boxship(control, "rollout", "restart", "cm/settings", "-n", "shop", check=False).stderr
    )
    waiting = boxship(control, "rollout", "status", "deploy/web", "-n", "shop", "--watch=false").stdout
    assert waiting.startswith("Waiting for deployment ")  # no kubelet makes its pods ready


def test_watch(control: Control) -> None:
    environment = {**surroundings(), "KUBECONFIG": str(control.kubeconfig), "HOME": str(control.home)}
    words = [BOXSHIP, "get", "cm", "-n", "shop", "-w", "-o", "name"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as watching:
        assert watching.stdout is not None
        first = {watching.stdout.readline().strip() for _ in range(2)}
        assert first == {"configmap/settings", "configmap/kube-root-ca.crt"}
        control.request("POST", "/api/v1/namespaces/shop/configmaps", {"metadata": {"name": "late"}})
        assert watching.stdout.readline() == "configmap/late\n"
        watching.terminate()


def test_delete_and_errors(control: Control) -> None:
    assert boxship(control, "delete", "cm", "late", "-n", "shop").stdout == 'configmap "late" deleted\n'
    gone = boxship(control, "get", "cm", "late", "-n", "shop", check=False)
    assert gone.returncode == 1
    assert gone.stderr == 'boxship: Error from server (NotFound): configmaps "late" not found\n'
    assert boxship(control, "get", "cm", "late", "-n", "shop", "--ignore-not-found").stdout == ""
    unknown = boxship(control, "get", "nonsense", check=False).stderr
    assert 'the server doesn\'t have a resource type "nonsense"' in unknown
    unnamed = boxship(control, "delete", "cm", "-n", "shop", check=False).stderr
    assert "no name was specified" in unnamed
    wrong = WEB.replace("color: blue", "color: [1]")
    assert "expected string, got list" in boxship(control, "apply", "-f", "-", data=wrong, check=False).stderr
    misspelt = WEB.replace("replicas: 2", "replica: 2")
    assert 'did you mean ".spec.replicas"' in boxship(control, "apply", "-f", "-", data=misspelt, check=False).stderr
    boxship(control, "delete", "-f", "-", data=WEB)
    assert control.request("GET", "/api/v1/namespaces/shop").status == 404  # it waited until all of it was gone


def test_logs_of_pods_and_of_containers_are_told_apart(control: Control) -> None:
    pod = {"metadata": {"name": "p", "labels": {"app": "p"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    assert control.request("POST", "/api/v1/namespaces/default/pods", pod).status == 201
    for word in ("pod/p", "po/p"):
        refused = boxship(control, "logs", word, check=False)
        assert refused.returncode == 0 and refused.stdout == ""  # it has no node yet, so it has said nothing
    service = {"metadata": {"name": "s"}, "spec": {"selector": {"app": "none"}, "ports": [{"port": 80}]}}
    assert control.request("POST", "/api/v1/namespaces/default/services", service).status == 201
    assert "service/s has no pods" in boxship(control, "logs", "svc/s", check=False).stderr
    assert "unsupported: exec into TYPE/NAME" in boxship(control, "exec", "pod/p", "true", check=False).stderr


def test_history_diff_and_undo(control: Control) -> None:
    maps = "/api/v1/namespaces/past/configmaps"
    control.request("POST", "/api/v1/namespaces", {"metadata": {"name": "past"}})
    control.request("POST", maps, {"metadata": {"name": "kept"}, "data": {"color": "blue"}})
    control.request("POST", maps, {"metadata": {"name": "lost"}, "data": {"a": "b"}})
    before = time.time()
    until(lambda: time.time() > before + 4, 10, "a moment between what was and what changes")

    def since() -> tuple[str, ...]:
        """Up to `before`, or as much later as the client takes to begin."""
        return ("--since", f"{time.time() - before:.2f}s", "-n", "past")

    media = {"Content-Type": "application/merge-patch+json"}
    control.request("PATCH", f"{maps}/kept?fieldManager=somebody", {"data": {"color": "red"}}, media)
    control.request("DELETE", f"{maps}/lost")
    control.request("POST", maps, {"metadata": {"name": "extra"}})
    told = boxship(control, "cluster", "history", "cm/kept", "-n", "past").stdout.splitlines()
    assert len(told) == 3 and told[0].split()[2:4] == ["+", "configmaps/kept"]
    assert "by" in told[1] and "somebody" in told[1] and told[2].split() == ["~", "data.color:", '"red"']
    whole = json.loads(boxship(control, "cluster", "history", "-n", "past", "--format", "json").stdout)["changes"]
    assert [(each["action"], each["name"]) for each in whole if each["name"] in ("kept", "lost", "extra")] == [
        ("created", "kept"),
        ("created", "lost"),
        ("changed", "kept"),
        ("deleted", "lost"),
        ("created", "extra"),
    ]
    here = boxship(control, "cluster", "history", "cm/kept", "-n", "past", "--data-root", str(control.home))
    assert here.stdout.splitlines() == told
    for verb in ("history", "diff", "undo"):
        words = ("cluster", verb, "--data-root", "/nowhere", "-n", "past")
        assert "cannot read /nowhere/control/admin.kubeconfig" in boxship(control, *words, check=False).stderr
        both = boxship(control, *words, "--kubeconfig", str(control.kubeconfig), check=False)
        assert both.returncode and "say two clusters: choose one" in both.stderr
    different = boxship(control, "cluster", "diff", *since()).stdout
    assert sorted(line for line in different.splitlines() if not line.startswith("    ")) == [
        "+ configmaps/extra in past",
        "- configmaps/lost in past",
        "~ configmaps/kept in past",
    ]
    dry = boxship(control, "cluster", "undo", *since(), "--dry-run").stdout
    assert "configmaps/lost in past created again (dry run)" in dry
    assert control.request("GET", f"{maps}/lost").status == 404
    boxship(control, "cluster", "undo", *since())
    assert control.request("GET", f"{maps}/kept").object["data"] == {"color": "blue"}
    assert control.request("GET", f"{maps}/lost").object["data"] == {"a": "b"}
    assert control.request("GET", f"{maps}/extra").status == 404


def test_who_is_not_known_hears_nothing_else(control: Control) -> None:
    for path, headers in (
        ("/api/v1/pods?limit=x", {}),
        ("/api/v1/pods", {"Accept": "image/png"}),
        ("/api/v1/nothing", {}),
        ("/boxship/history", {}),
    ):
        assert control.request("GET", path, headers=headers, client=None).status == 401, path
        assert control.request("GET", path, headers=headers).status in (200, 400, 404, 406), path
