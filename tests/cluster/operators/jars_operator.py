"""An operator as people write them with kopf: jars that hold a config map, with a status, a finalizer and webhooks.

Run by `kopf run`; the test starts it and only speaks to the API.
"""

import os
from typing import Any

import kopf

GROUP, VERSION, PLURAL = "jars.example.com", "v1", "jars"


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    files = {"certfile": "cert.pem", "pkeyfile": "key.pem", "cafile": "ca.pem"}
    paths = {name: os.path.join(os.environ["HOOKS"], file) for name, file in files.items()}
    settings.admission.server = kopf.WebhookServer(addr="127.0.0.1", host="127.0.0.1", **paths)
    settings.admission.managed = "jars.example.com"
    settings.posting.enabled = True
    settings.watching.server_timeout = 60


@kopf.on.mutate(GROUP, VERSION, PLURAL)
def label(patch: kopf.Patch, spec: kopf.Spec, **_: Any) -> None:
    patch.metadata.labels["size"] = "large" if spec.get("size", 0) > 5 else "small"


@kopf.on.validate(GROUP, VERSION, PLURAL)
def check(spec: kopf.Spec, warnings: list[str], **_: Any) -> None:
    if spec.get("size", 0) > 10:
        raise kopf.AdmissionError("a jar holds at most 10", code=422)
    if not spec.get("content"):
        warnings.append("the jar is empty")


@kopf.on.create(GROUP, VERSION, PLURAL)
async def fill(name: str, namespace: str, spec: kopf.Spec, body: kopf.Body, **_: Any) -> dict[str, Any]:
    await write(name, namespace, dict(spec), body)
    kopf.info(body, reason="Filled", message="the jar is full")
    return {"content": spec.get("content", "")}


@kopf.on.update(GROUP, VERSION, PLURAL, field="spec.content")
async def refill(name: str, namespace: str, new: str, spec: kopf.Spec, body: kopf.Body, **_: Any) -> dict[str, Any]:
    await write(name, namespace, dict(spec), body)
    return {"content": new}


@kopf.on.delete(GROUP, VERSION, PLURAL)
async def empty(name: str, namespace: str, body: kopf.Body, **_: Any) -> None:
    await write(f"{name}-was-emptied", namespace, {}, None)


async def write(name: str, namespace: str, spec: dict[str, Any], owner: kopf.Body | None) -> None:
    """Make or replace the config map of a jar."""
    import kubernetes

    kubernetes.config.load_kube_config()
    api = kubernetes.client.CoreV1Api()
    made: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"content": str(spec.get("content", ""))},
    }
    if owner is not None:
        kopf.adopt(made, owner=owner)
    try:
        api.create_namespaced_config_map(namespace, made)
    except kubernetes.client.ApiException as error:
        if error.status != 409:
            raise
        api.patch_namespaced_config_map(name, namespace, made)
