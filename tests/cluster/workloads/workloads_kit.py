"""A thread that plays the kubelets and the scheduler: it binds nothing to nodes that there are not, but says of each
pod what its labels ask for: `play: ready` (the default), `play: succeed`, `play: fail`, `play: wait`. Deleted pods end
at once, as a kubelet would end them."""

import json
import threading
import time
from datetime import UTC, datetime
from typing import Any

from control_kit import Control


class Kubelets:
    """Started and ended by `with`."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.failures: list[str] = []

    def __enter__(self) -> "Kubelets":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stopped.wait(0.05):
            try:
                answer = self._control.request("GET", "/api/v1/pods")
                for pod in json.loads(answer.body)["items"]:
                    self._play(pod)
            except (OSError, KeyError, ValueError):
                continue  # the control plane is being restarted

    def _play(self, pod: dict[str, Any]) -> None:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if metadata.get("deletionTimestamp"):
            body = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
            if not metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds"):
                self._control.request("DELETE", path, body)
            return
        status = played((metadata.get("labels") or {}).get("play", "ready"), pod)
        if status is None:
            return
        patch = {"metadata": {"uid": metadata["uid"]}, "status": status}
        kind = {"Content-Type": "application/merge-patch+json"}
        answer = self._control.request("PATCH", path + "/status", json.dumps(patch).encode(), kind)
        if answer.status not in (200, 404, 409):
            self.failures.append(answer.body.decode())


def stamp() -> str:
    return datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def played(way: str, pod: dict[str, Any]) -> dict[str, Any] | None:
    """The status to write; None: it is as it should be."""
    phase = pod["status"].get("phase", "Pending")
    if way == "wait" or phase in ("Succeeded", "Failed"):
        return None
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))
    if way == "ready":
        return None if ready else running("Running", "True")
    code = 0 if way == "succeed" else 1
    status = running("Succeeded" if way == "succeed" else "Failed", "False")
    status["containerStatuses"] = [
        {
            "name": each["name"],
            "image": each["image"],
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": {"exitCode": code, "finishedAt": stamp(), "startedAt": stamp()}},
        }
        for each in pod["spec"]["containers"]
    ]
    return status


def running(phase: str, ready: str) -> dict[str, Any]:
    return {"phase": phase, "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": stamp()}]}
