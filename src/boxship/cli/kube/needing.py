"""What an object needs of others and has not got: a service its pods, an Ingress its services and secrets, a claim its
class and its volume. Pure: the object and what is around it in, findings out. It says only what it has seen: where we
may not look, nothing is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from boxship.cli.kube.diagnosing import Finding, is_ready

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.kube.config import Object
else:
    Object = dict

SERVED = "boxship.io/ingress"  # the controller of our Ingress classes
DEFAULT_INGRESS = "ingressclass.kubernetes.io/is-default-class"
DEFAULT_STORAGE = "storageclass.kubernetes.io/is-default-class"
OLD_CLASS = "kubernetes.io/ingress.class"
AUTH_SECRET = "nginx.ingress.kubernetes.io/auth-secret"
UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "k": 10**3, "M": 10**6, "G": 10**9}
UNITS |= {"T": 10**12, "P": 10**15, "": 1}


class Around(Protocol):
    """What is stored beside the object, in its namespace where the resource has any."""

    def one(self, resource: str, name: str) -> Object | None:
        """None: it is not there. Empty: we may not see it."""

    def all(self, resource: str, labels: Mapping[str, str] | None = None) -> list[Object] | None:
        """None: we may not see them."""


def needs(made: Object, around: Around) -> list[Finding]:
    """The most important first; none: it has what it needs."""
    find = {
        "Service": _service,
        "Ingress": _ingress,
        "PersistentVolumeClaim": _claim,
        "Deployment": _workload,
        "StatefulSet": _workload,
        "ReplicaSet": _workload,
        "DaemonSet": _daemons,
        "Job": _job,
        "CronJob": _job,
        "Node": _node,
    }.get(made.get("kind") or "")
    return [*_going(made), *(find(made, around) if find else ())]


def _going(made: Object) -> Iterator[Finding]:
    kept = made["metadata"].get("finalizers") or []
    if made["metadata"].get("deletionTimestamp") and kept:
        yield Finding("deletion", f"It was deleted, and is kept by finalizers: {', '.join(kept)}.")


def _service(made: Object, around: Around) -> Iterator[Finding]:
    spec, name = made.get("spec") or {}, made["metadata"]["name"]
    if spec.get("type") == "ExternalName":
        return
    balanced = ((made.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    if spec.get("type") == "LoadBalancer" and not balanced:
        yield Finding("load balancer", "It has no address yet.", f"boxship describe service {name} shows why")
    selector = spec.get("selector") or {}
    if selector:
        pods = around.all("pods", selector)
        if pods is None:
            return
        if not pods:
            words = ",".join(f"{key}={value}" for key, value in selector.items())
            yield Finding("pods", f"No pod has its labels {words}.", _nearest(selector, around))
            return
        yield from _target_ports(spec, pods)
        ready = [pod for pod in pods if is_ready(pod)]
        if not ready and not spec.get("publishNotReadyAddresses"):
            yield Finding("pods", f"None of its {_pods(len(pods))} is ready: connections to it are refused.")
    elif _ready_endpoints(made, around) == 0:
        text = "It has no selector, and nobody has written endpoints for it."
        yield Finding("endpoints", text, f"make an EndpointSlice with the label kubernetes.io/service-name={name}")


def _pods(count: int) -> str:
    return f"{count} pods" if count != 1 else "1 pod"


def _nearest(selector: Mapping[str, str], around: Around) -> str:
    """Whose labels are the nearest to those."""
    best: tuple[int, str] = (0, "")
    for pod in around.all("pods") or []:
        labels = pod["metadata"].get("labels") or {}
        same = sum(labels.get(key) == value for key, value in selector.items())
        known = sum(key in labels for key in selector)
        if known and (score := 2 * same + known) > best[0]:
            told = ",".join(f"{key}={labels[key]}" for key in selector if key in labels)
            best = (score, f"pod {pod['metadata']['name']} has {told}")
    return best[1] or "label the pods so, or correct spec.selector"


def _target_ports(spec: Object, pods: list[Object]) -> Iterator[Finding]:
    known = {
        (port.get("name"), port.get("protocol") or "TCP")
        for pod in pods
        for part in ("containers", "initContainers")
        for container in (pod.get("spec") or {}).get(part) or []
        for port in container.get("ports") or []
    }
    for port in spec.get("ports") or []:
        target = port.get("targetPort")
        if isinstance(target, str) and (target, port.get("protocol") or "TCP") not in known:
            names = sorted(str(name) for name, _ in known if name)
            next = (
                f"its pods' ports are called {', '.join(names)}" if names else "name the port in the pod's containers"
            )
            yield Finding(f"port {port.get('port')}", f"No container of its pods has a port called {target}.", next)


def _ready_endpoints(service: Object, around: Around) -> int | None:
    slices = around.all("endpointslices", {"kubernetes.io/service-name": service["metadata"]["name"]})
    if slices is None:
        return None
    return sum(
        (one.get("conditions") or {}).get("ready") is not False
        for slice in slices
        for one in slice.get("endpoints") or []
    )


def _ingress(made: Object, around: Around) -> Iterator[Finding]:
    spec, metadata = made.get("spec") or {}, made["metadata"]
    yield from _ingress_class(made, around)
    backends = [("default backend", spec["defaultBackend"])] if spec.get("defaultBackend") else []
    for rule in spec.get("rules") or []:
        for entry in (rule.get("http") or {}).get("paths") or []:
            backends.append((f"{rule.get('host') or '*'}{entry.get('path') or '/'}", entry.get("backend") or {}))
    told: set[str] = set()
    for about, backend in backends:
        wanted = backend.get("service")
        if wanted:
            for finding in _backend(about, wanted, around):
                if finding.text not in told:
                    told.add(finding.text)
                    yield finding
    for entry in spec.get("tls") or []:
        if entry.get("secretName"):
            yield from _secret(f"tls {entry['secretName']}", entry["secretName"], around)
    place, _, name = ((metadata.get("annotations") or {}).get(AUTH_SECRET) or "").strip().rpartition("/")
    if name and place in ("", metadata.get("namespace")) and around.one("secrets", name) is None:
        text = f"There is no secret {name}, which says who may come in: it answers 503."
        yield Finding("auth-secret", text, f"kubectl create secret generic {name} --from-file=auth")


def _ingress_class(made: Object, around: Around) -> Iterator[Finding]:
    spec, annotations = made.get("spec") or {}, made["metadata"].get("annotations") or {}
    name = spec.get("ingressClassName") or annotations.get(OLD_CLASS)
    classes = around.all("ingressclasses")
    if classes is None:
        return
    known = {one["metadata"]["name"]: (one.get("spec") or {}).get("controller") for one in classes}
    ours = sorted(one for one, controller in known.items() if controller == SERVED)
    next = f"spec.ingressClassName: {ours[0]}" if ours else f"make an IngressClass with the controller {SERVED}"
    if not name:
        defaults = [one for one in classes if (one["metadata"].get("annotations") or {}).get(DEFAULT_INGRESS) == "true"]
        if not defaults:
            yield Finding("class", "It names no class, and there is no default one: nobody serves it.", next)
    elif name not in known:
        yield Finding("class", f"There is no class {name}: nobody serves it.", next)
    elif known[name] != SERVED and not ((made.get("status") or {}).get("loadBalancer") or {}).get("ingress"):
        text = f"Its class {name} is served by {known[name]}, which has said nothing of it so far."
        yield Finding("class", text, next)


def _backend(about: str, wanted: Object, around: Around) -> Iterator[Finding]:
    name, port = wanted.get("name") or "", wanted.get("port") or {}
    service = around.one("services", name)
    if service is None:
        yield Finding(
            about, f"There is no service {name}: it answers 503.", f"kubectl expose deployment … --name={name}"
        )
        return
    spec = service.get("spec") or {}
    if not spec or spec.get("type") == "ExternalName":
        return
    ports = [one for one in spec.get("ports") or [] if (one.get("protocol") or "TCP") == "TCP"]
    chosen = port.get("name") or port.get("number")
    if not any(chosen in (one.get("name"), one.get("port")) for one in ports):
        told = ", ".join(" ".join(str(one[key]) for key in ("name", "port") if one.get(key)) for one in ports)
        text = f"Service {name} has no port {chosen}: it answers 503."
        yield Finding(about, text, f"its ports are {told}" if told else "give it a port")
    elif _ready_endpoints(service, around) == 0:
        text = f"Service {name} has no ready endpoint: it answers 503."
        yield Finding(about, text, f"boxship why service/{name}")


def _secret(about: str, name: str, around: Around) -> Iterator[Finding]:
    secret = around.one("secrets", name)
    next = f"kubectl create secret tls {name} --cert=… --key=…"
    if secret is None:
        yield Finding(about, f"There is no secret {name}: its hosts have no certificate.", next)
    elif secret and secret.get("type") != "kubernetes.io/tls":
        yield Finding(about, f"Secret {name} is of the type {secret.get('type')}, not kubernetes.io/tls.", next)
    elif secret and not {"tls.crt", "tls.key"} <= {key for key, value in (secret.get("data") or {}).items() if value}:
        yield Finding(about, f"Secret {name} has not both tls.crt and tls.key.", next)


def _claim(made: Object, around: Around) -> Iterator[Finding]:
    spec, name = made.get("spec") or {}, made["metadata"]["name"]
    if made["metadata"].get("deletionTimestamp"):
        users = [pod["metadata"]["name"] for pod in _users(name, around)]
        if users:
            yield Finding("deletion", f"It goes when no pod uses it any more: {', '.join(users)}.")
        return
    if (made.get("status") or {}).get("phase") != "Pending":
        return
    if spec.get("volumeName"):
        yield from _volume(made, around.one("persistentvolumes", spec["volumeName"]))
        return
    wanted = spec.get("storageClassName")
    classes = around.all("storageclasses")
    if classes is None or wanted == "":
        return
    if wanted is None:
        marks = [one["metadata"].get("annotations") or {} for one in classes]
        if not any(mark.get(DEFAULT_STORAGE) == "true" for mark in marks):
            yield Finding("class", "It names no class, and there is no default one.", _classes(classes))
        return
    found = next((one for one in classes if one["metadata"]["name"] == wanted), None)
    if found is None:
        yield Finding("class", f"There is no storage class {wanted}.", _classes(classes))
    elif found.get("volumeBindingMode") == "WaitForFirstConsumer":
        users = _users(name, around)
        if users:
            pod = users[0]["metadata"]["name"]
            yield Finding("binding", f"It gets its volume when its pod {pod} has a node.", f"boxship why pod/{pod}")
        else:
            yield Finding("binding", f"It waits for the first pod that uses it: its class {wanted} makes volumes then.")


def _classes(classes: list[Object]) -> str:
    names = ", ".join(sorted(one["metadata"]["name"] for one in classes))
    return f"the classes are {names}" if names else "make a StorageClass, or a volume for it"


def _users(claim: str, around: Around) -> list[Object]:
    return [
        pod
        for pod in around.all("pods") or []
        if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        for volume in (pod.get("spec") or {}).get("volumes") or []
        if (volume.get("persistentVolumeClaim") or {}).get("claimName") == claim
    ]


def _volume(claim: Object, volume: Object | None) -> Iterator[Finding]:
    """Why the volume that a claim names is not bound to it."""
    spec, metadata = claim["spec"], claim["metadata"]
    name = spec["volumeName"]
    if volume is None:
        yield Finding(f"volume {name}", "There is no such volume.")
        return
    has = volume.get("spec") or {}
    owner = has.get("claimRef") or {}
    if owner and (owner.get("namespace"), owner.get("name")) != (metadata.get("namespace"), metadata["name"]):
        yield Finding(f"volume {name}", f"It belongs to the claim {owner.get('namespace')}/{owner.get('name')}.")
    wanted = ((spec.get("resources") or {}).get("requests") or {}).get("storage") or "0"
    size = (has.get("capacity") or {}).get("storage") or "0"
    if has and _bytes(size) < _bytes(wanted):
        yield Finding(f"volume {name}", f"It has {size}, and the claim asks for {wanted}.")
    lacking = set(spec.get("accessModes") or []) - set(has.get("accessModes") or [])
    if has and lacking:
        yield Finding(f"volume {name}", f"It does not offer {', '.join(sorted(lacking))}.")
    offered, asked = ((one.get("storageClassName") or "(none)") for one in (has, spec))
    if has and offered != asked:
        yield Finding(f"volume {name}", f"Its class is {offered}, the claim's {asked}.")


def _bytes(quantity: str) -> float:
    unit = quantity.lstrip("0123456789.+-eE")
    number = quantity.removesuffix(unit) if unit else quantity
    try:
        return float(number) * UNITS.get(unit, 1)
    except ValueError:
        return 0.0


def _workload(made: Object, around: Around) -> Iterator[Finding]:
    spec, status = made.get("spec") or {}, made.get("status") or {}
    metadata, kind = made["metadata"], made["kind"].lower()
    if spec.get("paused"):
        text = "It is paused: a change of its template is rolled out when it goes on."
        yield Finding("rollout", text, f"boxship rollout resume {kind}/{metadata['name']}")
    if status.get("observedGeneration", 0) < metadata.get("generation", 0):
        yield Finding("controller", "No controller has looked at its newest version yet.")
    wanted, has = spec.get("replicas", 1), status.get("replicas") or 0
    if wanted == 0:
        yield Finding("replicas", "It is to have no pods.", f"boxship scale {kind}/{metadata['name']} --replicas=1")
    elif has < wanted:
        yield Finding("replicas", f"{has} of {_pods(wanted)} are made.")
    if kind != "replicaset" and has >= wanted and wanted:
        updated = status.get("updatedReplicas") or 0
        if updated < wanted and not spec.get("paused"):
            yield Finding("rollout", f"{updated} of {_pods(wanted)} are of its newest template.")
    service = spec.get("serviceName")
    if kind == "statefulset" and service and around.one("services", service) is None:
        text = f"There is no service {service}: its pods have no names of their own."
        yield Finding("service", text, "make it, headless (clusterIP: None)")


def _daemons(made: Object, around: Around) -> Iterator[Finding]:
    status = made.get("status") or {}
    wanted = status.get("desiredNumberScheduled") or 0
    if not wanted and status.get("observedGeneration"):
        text = "No node is fit for its pods."
        yield Finding("nodes", text, "look at its nodeSelector and affinity, and at the nodes' taints")
    elif (status.get("updatedNumberScheduled") or 0) < wanted:
        yield Finding(
            "rollout", f"{status.get('updatedNumberScheduled') or 0} of {_pods(wanted)} are of its newest template."
        )


def _job(made: Object, around: Around) -> Iterator[Finding]:
    if (made.get("spec") or {}).get("suspend"):
        kind, name = made["kind"].lower(), made["metadata"]["name"]
        next = f'kubectl patch {kind}/{name} -p \'{{"spec":{{"suspend":false}}}}\''
        yield Finding("suspended", "It is suspended: nothing runs until it goes on.", next)


def _node(made: Object, around: Around) -> Iterator[Finding]:
    spec, name = made.get("spec") or {}, made["metadata"]["name"]
    if spec.get("unschedulable"):
        yield Finding("cordon", "It takes no new pods: somebody has cordoned it.", f"kubectl uncordon {name}")
    for taint in spec.get("taints") or []:
        if not (spec.get("unschedulable") and taint.get("key") == "node.kubernetes.io/unschedulable"):
            text = "=".join(filter(None, (taint.get("key"), taint.get("value"))))
            yield Finding(
                "taint", f"It has the taint {text}:{taint.get('effect')}: only pods that tolerate it come here."
            )
