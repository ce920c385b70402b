"""What a pod needs of other objects: whoever runs it has to read these. Pure."""

from collections.abc import Iterator
from typing import Any

from boxship.cluster.objects import Object

Thing = tuple[str, str, str]  # resource, namespace, name

MIRROR = "kubernetes.io/config.mirror"
SECRET_VOLUMES = ("cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos")


def needs_of(pod: Object) -> Iterator[Thing]:
    """What a pod names in its own namespace."""
    if MIRROR not in (pod["metadata"].get("annotations") or {}):
        yield from references_of(pod)  # what a node itself reports must not open doors for it


def references_of(pod: Object) -> Iterator[Thing]:
    """The same, also of a static pod that a node reports."""
    namespace, name = pod["metadata"].get("namespace", ""), pod["metadata"]["name"]
    spec = pod.get("spec") or {}
    if spec.get("serviceAccountName"):
        yield "serviceaccounts", namespace, spec["serviceAccountName"]
    for reference in spec.get("imagePullSecrets") or ():
        yield "secrets", namespace, reference.get("name", "")
    for part in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(part) or ():
            for resource, found in _environment(container):
                yield resource, namespace, found
    for volume in spec.get("volumes") or ():
        for resource, found in _volume(volume, name):
            yield resource, namespace, found
    claims = [claim.get("resourceClaimName") for claim in spec.get("resourceClaims") or ()]
    claims += [claim.get("resourceClaimName") for claim in (pod.get("status") or {}).get("resourceClaimStatuses") or ()]
    for claim in claims:
        if claim:
            yield "resourceclaims", namespace, claim


def _environment(container: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        if "secretKeyRef" in source:
            yield "secrets", source["secretKeyRef"].get("name", "")
        if "configMapKeyRef" in source:
            yield "configmaps", source["configMapKeyRef"].get("name", "")
    for source in container.get("envFrom") or ():
        if "secretRef" in source:
            yield "secrets", source["secretRef"].get("name", "")
        if "configMapRef" in source:
            yield "configmaps", source["configMapRef"].get("name", "")


def _volume(volume: dict[str, Any], pod: str) -> Iterator[tuple[str, str]]:
    sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
    for source in sources:
        secret, config = source.get("secret"), source.get("configMap")
        if secret is not None:
            yield "secrets", secret.get("secretName") or secret.get("name", "")
        if config is not None:
            yield "configmaps", config.get("name", "")
    if "persistentVolumeClaim" in volume:
        yield "persistentvolumeclaims", volume["persistentVolumeClaim"].get("claimName", "")
    if "ephemeral" in volume:
        yield "persistentvolumeclaims", f"{pod}-{volume['name']}"
    if (volume.get("azureFile") or {}).get("secretName"):
        yield "secrets", volume["azureFile"]["secretName"]
    references = [(volume.get(kind) or {}).get("secretRef") for kind in SECRET_VOLUMES]
    references.append((volume.get("csi") or {}).get("nodePublishSecretRef"))
    for reference in references:
        if reference:
            yield "secrets", reference.get("name", "")


def secrets_of_volume(spec: dict[str, Any], namespace: str) -> Iterator[Thing]:
    """Those that a persistent volume names, for a claim of this namespace."""
    references = [(spec.get(kind) or {}).get("secretRef") for kind in SECRET_VOLUMES]
    csi = spec.get("csi") or {}
    references += [csi.get("nodePublishSecretRef"), csi.get("nodeStageSecretRef"), csi.get("nodeExpandSecretRef")]
    for reference in references:
        if reference:
            yield "secrets", str(reference.get("namespace") or namespace), str(reference.get("name", ""))
