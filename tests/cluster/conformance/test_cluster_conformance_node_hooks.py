"""Hooks at the begin and end of containers, and containers that are added to a pod while it runs.

Hooks call a server in another pod, whose log then says who called.
"""

import pytest
from conformance_kit import Space
from nodes_kit import condition

pytestmark = pytest.mark.slow

SERVER = """
    apiVersion: v1
    kind: Pod
    metadata: {name: server}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [httpd, -f, -vv, -p, "8080", -h, /bin]}
"""


def server(space: Space) -> str:
    """The address of a server that writes down each request."""
    space.apply(SERVER)
    space.until_ready("server")
    return str(space.pod("server")["status"]["podIP"])


def hooked(name: str, lifecycle: str, more: str = "") -> str:
    return f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: {name}}}
        spec:
          terminationGracePeriodSeconds: 15
          {more}
          containers:
          - name: c
            image: busybox
            imagePullPolicy: IfNotPresent
            command: [sh, -c, "trap exit TERM; while :; do sleep 0.1; done"]
            lifecycle: {{{lifecycle}}}
    """


def heard(space: Space, path: str) -> bool:
    return f"url:{path}" in space.log("server")


# Covers: Pod Lifecycle, post start exec hook; Pod Lifecycle, post start http hook;
# Pod Lifecycle, prestop exec hook; Pod Lifecycle, prestop http hook; Pods, prestop hook.
def test_hooks_call_a_server(space: Space) -> None:
    """By HTTP a hook has been called where it was answered, here with 404."""
    address = server(space)
    for kind in ("postStart", "preStop"):
        word = f"/{kind}"
        space.apply(
            hooked(
                f"{kind.lower()}-exec",
                f'{kind}: {{exec: {{command: [sh, -c, "wget -qO- http://{address}:8080{word}-exec || true"]}}}}',
            )
        )
        space.apply(
            hooked(f"{kind.lower()}-http", f'{kind}: {{httpGet: {{host: {address}, port: 8080, path: "{word}-http"}}}}')
        )
    names = [f"{kind}-{way}" for kind in ("poststart", "prestop") for way in ("exec", "http")]
    space.until_ready(*names)
    space.until(lambda: all(heard(space, f"/postStart-{way}") for way in ("exec", "http")), "postStart was called")
    assert not heard(space, "/preStop-exec") and not heard(space, "/preStop-http")
    space.kubectl("delete", "pod", "prestop-exec", "prestop-http", "--wait=false")
    space.until(lambda: all(heard(space, f"/preStop-{way}") for way in ("exec", "http")), "preStop was called")
    space.until(lambda: space.is_gone("pods/prestop-exec") and space.is_gone("pods/prestop-http"), "both are gone")


def test_a_container_that_ends_by_itself_is_asked_nothing(space: Space) -> None:
    """A preStop hook is of containers that are ended."""
    address = server(space)
    hook = f'preStop: {{exec: {{command: [wget, -qO-, "http://{address}:8080/preStop"]}}}}'
    text = hooked("ends", hook, "restartPolicy: Never")
    space.apply(text.replace("trap exit TERM; while :; do sleep 0.1; done", "exit 0"))
    space.until_phase("ends", "Succeeded")
    space.kubectl("delete", "pod", "ends", "--wait=false")
    space.until(lambda: space.is_gone("pods/ends"), "it is gone")
    assert not heard(space, "/preStop")


# Covers: Ephemeral Container Creation; Ephemeral Container, update ephemeral containers.
def test_containers_are_added_to_a_pod_that_runs(space: Space) -> None:
    space.apply(hooked("target", ""))
    space.until_ready("target")

    def added(name: str, script: str) -> dict[str, object]:
        return {
            "name": name,
            "image": "busybox",
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", script],
            "targetContainerName": "c",
            "stdin": True,
            "tty": True,
        }

    def runs(*names: str) -> bool:
        found = space.pod("target")["status"].get("ephemeralContainerStatuses") or ()
        return [one["name"] for one in found if "running" in one["state"]] == list(names)

    first = added("debugger", "echo polo; ps; sleep 600")
    change = {"spec": {"ephemeralContainers": [first]}}
    path, kind = "pods/target/ephemeralcontainers", "application/strategic-merge-patch+json"
    assert len(space.patched(path, change, kind)["spec"]["ephemeralContainers"]) == 1
    space.until(lambda: runs("debugger"), "the first one runs")
    space.until(lambda: "polo" in space.log("target", "-c", "debugger"), "it has a log")
    space.until(lambda: "trap exit TERM" in space.log("target", "-c", "debugger"), "it sees the other's processes")

    whole = space.read(path)
    whole["spec"]["ephemeralContainers"].append(added("second", "sleep 600"))
    assert len(space.replaced(path, whole)["spec"]["ephemeralContainers"]) == 2
    space.until(lambda: runs("debugger", "second"), "both run")
    found = space.pod("target")
    assert condition(found, "Ready") == "True"
    assert found["status"]["containerStatuses"][0]["restartCount"] == 0

    changed = {"spec": {"ephemeralContainers": [{**first, "image": "other"}]}}
    assert space.request("PATCH", path, changed, {"Content-Type": kind}).status == 422
    gone = space.read(path)
    gone["spec"]["ephemeralContainers"].pop()
    assert space.request("PUT", path, gone).status == 422
