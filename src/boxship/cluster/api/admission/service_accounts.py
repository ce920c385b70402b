"""ServiceAccount: a pod runs as an account that exists and gets its token, certificate and namespace as a volume.

Source: kubernetes.io, "Managing Service Accounts", ServiceAccount admission controller.
"""

import secrets
from typing import Any

from boxship.cluster.api.admission import Attributes, Lookup
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import forbidden

MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607  # an hour and the seven seconds by which kubelets know that nobody chose it
MIRROR = "kubernetes.io/config.mirror"
ENFORCE = "kubernetes.io/enforce-mountable-secrets"
LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # of generated names


class ServiceAccount:
    """Implements Plugin."""

    name = "ServiceAccount"

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def admit(self, attributes: Attributes) -> None:
        if not _concerns(attributes):
            return
        pod = attributes.object
        assert pod is not None
        spec = pod["spec"]
        if MIRROR in pod["metadata"].get("annotations", {}):
            return
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._account(attributes, name)
        if _wants_token(spec, account):
            _mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(entry) for entry in account["imagePullSecrets"]]

    async def validate(self, attributes: Attributes) -> None:
        request = attributes.request
        if request.resource.path == "v1/pods" and request.subresource == "ephemeralcontainers" and attributes.object:
            name = attributes.object["spec"].get("serviceAccountName") or "default"
            account = await self._lookup.get("v1/serviceaccounts", request.namespace, name)
            if account is not None:
                _check_secrets(attributes, attributes.object, account)
        if not _concerns(attributes):
            return
        pod = attributes.object
        assert pod is not None
        if MIRROR in pod["metadata"].get("annotations", {}):
            _check_mirror(attributes, pod)
            return
        account = await self._account(attributes, pod["spec"].get("serviceAccountName") or "default")
        _check_secrets(attributes, pod, account)

    async def _account(self, attributes: Attributes, name: str) -> Object:
        namespace = attributes.request.namespace
        account = await self._lookup.get("v1/serviceaccounts", namespace, name)
        if account is None:
            why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise forbidden(attributes.request.resource, attributes.name, why)
        return account


def _concerns(attributes: Attributes) -> bool:
    request = attributes.request
    return request.resource.path == "v1/pods" and attributes.operation == "CREATE" and not request.subresource


def _check_secrets(attributes: Attributes, pod: Object, account: Object) -> None:
    """An account may hold its pods to the secrets that it names itself."""
    if account["metadata"].get("annotations", {}).get(ENFORCE) != "true":
        return
    allowed = {entry.get("name") for entry in account.get("secrets") or ()}
    for used in sorted(_secrets_of(pod["spec"])):
        if used not in allowed:
            why = (
                f'volume with secret.secretName="{used}" is not allowed because service account '
                f"{account['metadata']['name']} does not reference that secret"
            )
            raise forbidden(attributes.request.resource, attributes.name, why)


def _check_mirror(attributes: Attributes, pod: Object) -> None:
    """A mirror pod is a kubelet's picture of a file: it cannot have what the API would give it."""
    spec = pod["spec"]
    resource = attributes.request.resource
    if spec.get("serviceAccountName"):
        raise forbidden(resource, attributes.name, "a mirror pod may not reference service accounts")
    if _secrets_of(spec):
        raise forbidden(resource, attributes.name, "a mirror pod may not reference secrets")


def _all_containers(spec: Object) -> list[Object]:
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [container for kind in kinds for container in spec.get(kind) or ()]


def _secrets_of(spec: Object) -> set[str]:
    found = {volume["secret"].get("secretName", "") for volume in spec.get("volumes") or () if volume.get("secret")}
    for container in _all_containers(spec):
        for entry in container.get("env") or ():
            reference = (entry.get("valueFrom") or {}).get("secretKeyRef")
            if reference:
                found.add(reference.get("name", ""))
        for entry in container.get("envFrom") or ():
            if entry.get("secretRef"):
                found.add(entry["secretRef"].get("name", ""))
    return found | {entry.get("name", "") for entry in spec.get("imagePullSecrets") or ()}


def _wants_token(spec: Object, account: Object) -> bool:
    chosen = spec.get("automountServiceAccountToken")
    if chosen is None:
        chosen = account.get("automountServiceAccountToken")
    return chosen is None or bool(chosen)


def _mount_token(spec: Object) -> None:
    """Add the volume, and mount it where a container has nothing at that place."""
    taken = {volume.get("name") for volume in spec.get("volumes") or ()}
    name = next(
        (
            volume["name"]
            for volume in spec.get("volumes") or ()
            if volume.get("name", "").startswith("kube-api-access-") and volume.get("projected")
        ),
        "",
    )
    made = not name
    while not name or (made and name in taken):
        name = "kube-api-access-" + "".join(secrets.choice(LETTERS) for _ in range(5))
    used = False
    for container in (*(spec.get("initContainers") or ()), *spec.get("containers", ())):
        mounts = container.setdefault("volumeMounts", [])
        if any(mount.get("mountPath") == MOUNT for mount in mounts):
            if not mounts:
                del container["volumeMounts"]
            continue
        mounts.append({"name": name, "readOnly": True, "mountPath": MOUNT})
        used = True
    if used and made:
        spec.setdefault("volumes", []).append(_token_volume(name))


def _token_volume(name: str) -> dict[str, Any]:
    sources = [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {
            "downwardAPI": {
                "items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]
            }
        },
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 0o644}}
