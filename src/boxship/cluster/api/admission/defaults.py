"""Small plugins that fill in what other objects say: tolerations, taints, the default storage and ingress class,
protection finalizers, runtime classes.

Each is named as the original's ("Admission Controllers Reference"); none refuses what the original accepts.
"""

from collections.abc import Sequence

from boxship.cluster.api.admission import Attributes, Lookup
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import forbidden

TOLERATION_SECONDS = 300
DEFAULT_STORAGE = "storageclass.kubernetes.io/is-default-class"
DEFAULT_INGRESS = "ingressclass.kubernetes.io/is-default-class"
LEGACY_INGRESS = "kubernetes.io/ingress.class"
LEGACY_STORAGE = "volume.beta.kubernetes.io/storage-class"
FINALIZERS = {
    "v1/persistentvolumes": "kubernetes.io/pv-protection",
    "v1/persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "storage.k8s.io/v1/volumeattributesclasses": "kubernetes.io/vac-protection",
}


class Passive:
    """A plugin that only changes; the half that it does not have."""

    async def validate(self, attributes: Attributes) -> None:
        return None


def created(attributes: Attributes, path: str) -> Object | None:
    """The object, where the request creates one of that resource."""
    request = attributes.request
    if attributes.operation == "CREATE" and request.resource.path == path and not request.subresource:
        return attributes.object
    return None


class DefaultTolerationSeconds(Passive):
    """A pod stays five minutes on a node that is not ready or not reached, unless it says otherwise."""

    name = "DefaultTolerationSeconds"

    async def admit(self, attributes: Attributes) -> None:
        request, pod = attributes.request, attributes.object
        # Also on updates: who applies a pod again does not name these, and may not take them away.
        if pod is None or request.resource.path != "v1/pods" or request.subresource:
            return
        tolerations = pod["spec"].setdefault("tolerations", [])
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
            if not any(
                entry.get("key") in (key, None, "") and entry.get("effect") in ("NoExecute", None, "")
                for entry in tolerations
            ):
                tolerations.append(
                    {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS}
                )


class TaintNodesByCondition(Passive):
    """A new node takes nothing before somebody has seen that it is ready."""

    name = "TaintNodesByCondition"

    async def admit(self, attributes: Attributes) -> None:
        node = created(attributes, "v1/nodes")
        if node is None:
            return
        taints = node.setdefault("spec", {}).setdefault("taints", [])
        wanted = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
        if not any(taint.get("key") == wanted["key"] and taint.get("effect") == "NoSchedule" for taint in taints):
            taints.append(wanted)


class StorageObjectInUseProtection(Passive):
    """Volumes and claims do not go while something uses them."""

    name = "StorageObjectInUseProtection"

    async def admit(self, attributes: Attributes) -> None:
        finalizer = FINALIZERS.get(attributes.request.resource.path)
        if finalizer is None:
            return
        made = created(attributes, attributes.request.resource.path)
        if made is not None and finalizer not in made["metadata"].setdefault("finalizers", []):
            made["metadata"]["finalizers"].append(finalizer)


class DefaultStorageClass(Passive):
    """A claim without a class gets the default one: of several, the newest."""

    name = "DefaultStorageClass"

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def admit(self, attributes: Attributes) -> None:
        claim = created(attributes, "v1/persistentvolumeclaims")
        if claim is None or claim["spec"].get("storageClassName") is not None:
            return
        if LEGACY_STORAGE in claim["metadata"].get("annotations", {}):
            return
        found = _newest_default(await self._lookup.list("storage.k8s.io/v1/storageclasses"), DEFAULT_STORAGE)
        if found:
            claim["spec"]["storageClassName"] = found[0]["metadata"]["name"]


class DefaultIngressClass(Passive):
    """An ingress without a class gets the default one: of several, the newest."""

    name = "DefaultIngressClass"

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def admit(self, attributes: Attributes) -> None:
        ingress = created(attributes, "networking.k8s.io/v1/ingresses")
        if ingress is None or ingress.setdefault("spec", {}).get("ingressClassName") is not None:
            return
        if LEGACY_INGRESS in ingress["metadata"].get("annotations", {}):
            return
        found = _newest_default(await self._lookup.list("networking.k8s.io/v1/ingressclasses"), DEFAULT_INGRESS)
        if found:
            ingress["spec"]["ingressClassName"] = found[0]["metadata"]["name"]


def _newest_default(classes: Sequence[Object], annotation: str) -> list[Object]:
    marked = [entry for entry in classes if entry["metadata"].get("annotations", {}).get(annotation) == "true"]
    marked.sort(key=lambda entry: entry["metadata"]["name"])
    return sorted(marked, key=lambda entry: str(entry["metadata"].get("creationTimestamp", "")), reverse=True)


class RuntimeClass:
    """A pod's runtime class says what it costs and where it can run."""

    name = "RuntimeClass"

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def admit(self, attributes: Attributes) -> None:
        pod = created(attributes, "v1/pods")
        found = await self._class(attributes, pod)
        if pod is None or found is None:
            return
        spec = pod["spec"]
        overhead = (found.get("overhead") or {}).get("podFixed")
        if overhead:
            if spec.get("overhead") not in (None, overhead):
                why = f"pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead: {spec['overhead']}"
                raise forbidden(attributes.request.resource, attributes.name, why)
            spec["overhead"] = dict(overhead)
        scheduling = found.get("scheduling") or {}
        selector = dict(scheduling.get("nodeSelector") or {})
        for key, value in selector.items():
            if spec.get("nodeSelector", {}).get(key, value) != value:
                why = f'conflict: runtimeClass.scheduling.nodeSelector[{key}] = "{value}"'
                raise forbidden(attributes.request.resource, attributes.name, f"pod rejected: {why}")
        if selector:
            spec["nodeSelector"] = {**spec.get("nodeSelector", {}), **selector}
        for toleration in scheduling.get("tolerations") or ():
            if toleration not in spec.setdefault("tolerations", []):
                spec["tolerations"].append(dict(toleration))

    async def validate(self, attributes: Attributes) -> None:
        pod = created(attributes, "v1/pods")
        if pod is None or not pod["spec"].get("overhead"):
            return
        found = await self._class(attributes, pod)
        if found is None or not (found.get("overhead") or {}).get("podFixed"):
            why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            raise forbidden(attributes.request.resource, attributes.name, why)

    async def _class(self, attributes: Attributes, pod: Object | None) -> Object | None:
        name = (pod or {}).get("spec", {}).get("runtimeClassName")
        if not name:
            return None
        found = await self._lookup.get("node.k8s.io/v1/runtimeclasses", "", name)
        if found is None:
            raise forbidden(
                attributes.request.resource, attributes.name, f'pod rejected: RuntimeClass "{name}" not found'
            )
        return found
