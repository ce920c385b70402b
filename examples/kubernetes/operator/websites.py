"""Makes a page, a deployment and a service of each Website; what it made goes with the Website, by owner references."""

import kopf
import kubernetes

PORT = 80


def parts(name: str, text: str, replicas: int) -> tuple[dict, dict, dict]:
    """ConfigMap, Deployment and Service. A new text is a new annotation, so the pods are rolled."""
    labels = {"website": name}
    page = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"index.html": f"{text}\n"}}
    container = {
        "name": "web",
        "image": "busybox",
        "command": ["httpd", "-f", "-p", str(PORT), "-h", "/page"],
        "readinessProbe": {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "page", "mountPath": "/page"}],
    }
    pod = {
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "page", "configMap": {"name": name}}],
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels, "annotations": {"example.com/text": text}}, "spec": pod},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": labels, "ports": [{"port": PORT}]},
    }
    return page, deployment, service


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: object) -> None:
    kubernetes.config.load_incluster_config()
    settings.persistence.finalizer = "example.com/websites"


@kopf.on.create("example.com", "v1", "websites")
@kopf.on.update("example.com", "v1", "websites", field="spec")
@kopf.on.resume("example.com", "v1", "websites")
def settle(name: str, namespace: str, spec: dict, **_: object) -> None:
    made = parts(name, spec["text"], spec["replicas"])
    kopf.adopt(made)
    client = kubernetes.dynamic.DynamicClient(kubernetes.client.ApiClient())
    for part in made:
        api = client.resources.get(api_version=part["apiVersion"], kind=part["kind"])
        api.server_side_apply(body=part, namespace=namespace, field_manager="websites", force_conflicts=True)


@kopf.on.event("apps", "v1", "deployments", labels={"website": kopf.PRESENT})
def tell(name: str, namespace: str, status: dict, type: str | None, **_: object) -> None:
    """How many pods are ready stands in the Website's status."""
    if type == "DELETED":
        return
    api = kubernetes.client.CustomObjectsApi()
    body = {"status": {"ready": status.get("readyReplicas", 0)}}
    try:
        api.patch_namespaced_custom_object_status("example.com", "v1", namespace, "websites", name, body)
    except kubernetes.client.ApiException as error:
        if error.status != 404:  # it is being deleted
            raise
