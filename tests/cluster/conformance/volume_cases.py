"""What cases about volumes have in common: short pods that say what they see, started at once and then awaited."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from conformance_kit import Space

Manifest = dict[str, Any]


def pod(
    name: str,
    script: str,
    volumes: Mapping[str, Manifest],
    mounts: Sequence[Manifest] = (),
    *,
    container: Manifest | None = None,
    **spec: Any,
) -> Manifest:
    """A pod whose one container runs a script. A volume NAME is mounted at /NAME unless `mounts` say otherwise."""
    found = list(mounts) or [{"name": one, "mountPath": f"/{one}"} for one in volumes]
    main = {
        "name": "c",
        "image": "busybox",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "volumeMounts": found,
        **(container or {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": [main],
            "volumes": [{"name": one, **source} for one, source in volumes.items()],
            **spec,
        },
    }


def sleeper(name: str, volumes: Mapping[str, Manifest], mounts: Sequence[Manifest] = (), **more: Any) -> Manifest:
    """A pod that stays, for what is asked of it by exec."""
    return pod(name, "exec sleep 3600", volumes, mounts, **more)


def said(space: Space, *pods: Manifest) -> list[str]:
    """What each of them printed: all are started at once, and all have to succeed."""
    for one in pods:
        space.made("pods", one)
    found = []
    for one in pods:
        name = str(one["metadata"]["name"])
        ended = space.until_phase(name, "Succeeded", "Failed")
        text = log(space, name)
        assert ended["status"]["phase"] == "Succeeded", f"{json.dumps(ended['status'], indent=1)}\n{text}"
        found.append(text)
    return found


def log(space: Space, name: str) -> str:
    answer = space.request("GET", f"pods/{name}/log")
    assert answer.status == 200, answer
    return answer.body.decode()


def started(space: Space, *pods: Manifest) -> None:
    """All are made at once, and run when this returns."""
    for one in pods:
        space.made("pods", one)
    space.until_ready(*(str(one["metadata"]["name"]) for one in pods))


def deleted(space: Space, name: str) -> None:
    """The pod is gone."""
    assert space.request("DELETE", f"pods/{name}").status == 200
    space.until(lambda: space.is_gone(f"pods/{name}"), f"pod {name} is gone")


def until_said(space: Space, name: str, script: str, pattern: str, container: str = "") -> None:
    """A script in the pod prints what the pattern matches, at last."""
    space.until(lambda: re.search(pattern, space.shell(name, script, container)), f"{script} says {pattern}")


def until_told(space: Space, name: str, pattern: str, kind: str = "Pod") -> None:
    """An event about the object has such a message."""

    def told() -> bool:
        found = space.request("GET", f"events?fieldSelector=involvedObject.name={name}").object["items"]
        return any(re.search(pattern, f"{one['reason']} {one['message']}") for one in found)

    space.until(told, f"an event of {kind} {name} says {pattern}")


def config_map(space: Space, name: str, data: Mapping[str, str], **more: Any) -> Manifest:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(data), **more}
    return space.made("configmaps", body)


def secret(space: Space, name: str, data: Mapping[str, str], **more: Any) -> Manifest:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": dict(data), **more}
    return space.made("secrets", body)


def claim(space: Space, name: str, size: str = "1Mi", mode: str = "ReadWriteOnce", **spec: Any) -> Manifest:
    """A claim; without `storageClassName` it gets the default class."""
    body = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": [mode], "resources": {"requests": {"storage": size}}, **spec},
    }
    return space.made("persistentvolumeclaims", body)


def claimed(name: str, **more: Any) -> Manifest:
    """The source of a volume that is a claim."""
    return {"persistentVolumeClaim": {"claimName": name, **more}}
