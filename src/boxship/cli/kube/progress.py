"""How far a rollout is, from the object alone. Pure; the texts are kubectl's, because scripts read them."""

from __future__ import annotations

from boxship.cli.call import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.kube.config import Object
else:
    Object = dict


def rollout_state(made: Object) -> tuple[str, bool]:
    """The line to show, and whether it is done. Raises Failure where it cannot be done any more."""
    status = made.get("status") or {}
    if int(made["metadata"].get("generation") or 0) > int(status.get("observedGeneration") or 0):
        return f"Waiting for {made['kind'].lower()} spec update to be observed...", False
    return {"Deployment": _deployment, "DaemonSet": _daemon_set, "StatefulSet": _stateful_set}[made["kind"]](made)


def _deployment(made: Object) -> tuple[str, bool]:
    name, status = made["metadata"]["name"], made.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            raise Failure(f'deployment "{name}" exceeded its progress deadline')
    wanted = int(made["spec"].get("replicas", 1))
    updated, total = int(status.get("updatedReplicas") or 0), int(status.get("replicas") or 0)
    available = int(status.get("availableReplicas") or 0)
    waiting = f'Waiting for deployment "{name}" rollout to finish: '
    if updated < wanted:
        return f"{waiting}{updated} out of {wanted} new replicas have been updated...", False
    if total > updated:
        return f"{waiting}{total - updated} old replicas are pending termination...", False
    if available < updated:
        return f"{waiting}{available} of {updated} updated replicas are available...", False
    return f'deployment "{name}" successfully rolled out', True


def _daemon_set(made: Object) -> tuple[str, bool]:
    if (made["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") != "RollingUpdate":
        raise Failure("rollout status is only available for RollingUpdate strategy type")
    name, status = made["metadata"]["name"], made.get("status") or {}
    wanted = int(status.get("desiredNumberScheduled") or 0)
    updated, available = int(status.get("updatedNumberScheduled") or 0), int(status.get("numberAvailable") or 0)
    waiting = f'Waiting for daemon set "{name}" rollout to finish: '
    if updated < wanted:
        return f"{waiting}{updated} out of {wanted} new pods have been updated...", False
    if available < wanted:
        return f"{waiting}{available} of {wanted} updated pods are available...", False
    return f'daemon set "{name}" successfully rolled out', True


def _stateful_set(made: Object) -> tuple[str, bool]:
    strategy = made["spec"].get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        raise Failure("rollout status is only available for RollingUpdate strategy type")
    status, wanted = made.get("status") or {}, int(made["spec"].get("replicas", 1))
    ready, updated = int(status.get("readyReplicas") or 0), int(status.get("updatedReplicas") or 0)
    if ready < wanted:
        return f"Waiting for {wanted - ready} pods to be ready...", False
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    if partition:
        if updated < wanted - partition:
            text = f"{updated} out of {wanted - partition} new pods have been updated..."
            return f"Waiting for partitioned roll out to finish: {text}", False
        return f"partitioned roll out complete: {updated} new pods have been updated...", True
    if status.get("updateRevision") != status.get("currentRevision"):
        text = f"{updated} pods at revision {status.get('updateRevision')}..."
        return f"waiting for statefulset rolling update to complete {text}", False
    current = int(status.get("currentReplicas") or 0)
    return f"statefulset rolling update complete {current} pods at revision {status.get('currentRevision')}...", True
