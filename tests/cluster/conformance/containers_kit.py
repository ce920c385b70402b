"""Pods of one busybox container, several at once: for cases that ask what a container is and may."""

import json
from typing import Any

from conformance_kit import Space

Spec = dict[str, Any]


def pod(name: str, script: str, container: Spec | None = None, spec: Spec | None = None) -> Spec:
    """A pod that runs a script once. `container` and `spec`: more fields of either; `command` wins over the script."""
    main = {"name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]}
    whole: Spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, **(spec or {})}
    whole.setdefault("containers", [{**main, **(container or {})}])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": whole}


def begin(space: Space, *objects: Spec) -> None:
    """All of them at once, by kubectl."""
    space.kubectl("create", "-f", "-", data="\n".join(json.dumps(one) for one in objects))


def outputs(space: Space, *pods: Spec, phase: str = "Succeeded") -> dict[str, str]:
    """What each of them printed; all end in that phase."""
    begin(space, *pods)
    found = {}
    for one in pods:
        name = one["metadata"]["name"]
        ended = space.until_phase(name, "Succeeded", "Failed")
        found[name] = space.request("GET", f"pods/{name}/log").body.decode()
        assert ended["status"]["phase"] == phase, (json.dumps(ended["status"], indent=1), found[name])
    return found


def status(space: Space, name: str) -> Spec:
    """What the API is told of the first container: {} where that is nothing."""
    statuses: list[Spec] = space.pod(name)["status"].get("containerStatuses") or [{}]
    return statuses[0]


def until_waiting(space: Space, name: str, reason: str) -> Spec:
    """Wait until the first container does not run for that reason: what is said of it."""
    space.until(lambda: waiting(space, name).get("reason") == reason, f"{name} waits for {reason}")
    return waiting(space, name)


def waiting(space: Space, name: str) -> Spec:
    """Why the first container does not run: {} where it does, or nothing is known of it."""
    found: Spec = (status(space, name).get("state") or {}).get("waiting") or {}
    return found
