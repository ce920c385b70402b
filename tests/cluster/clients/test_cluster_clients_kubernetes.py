"""The `kubernetes` client of Python: typed, dynamic, watches, every kind of patch."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from control_kit import Control
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException

DEPLOYMENT = client.V1Deployment(
    metadata=client.V1ObjectMeta(name="web", labels={"app": "web"}),
    spec=client.V1DeploymentSpec(
        replicas=1,
        selector=client.V1LabelSelector(match_labels={"app": "web"}),
        template=client.V1PodTemplateSpec(
            metadata=client.V1ObjectMeta(labels={"app": "web"}),
            spec=client.V1PodSpec(containers=[client.V1Container(name="c", image="nginx")]),
        ),
    ),
)


@pytest.fixture(scope="module")
def api(control: Control) -> Iterator[client.ApiClient]:
    made = config.new_client_from_config(str(control.kubeconfig))
    client.CoreV1Api(made).create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="typed")))
    yield made
    made.close()


def replace(apps: client.AppsV1Api, replicas: int) -> client.V1Deployment:
    """PUT of what was read, again as long as a controller is faster."""
    while True:
        found = apps.read_namespaced_deployment("web", "typed")
        found.spec.replicas = replicas
        try:
            return apps.replace_namespaced_deployment("web", "typed", found)
        except ApiException as error:
            assert error.status == 409


def test_typed_objects(api: client.ApiClient) -> None:
    apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
    made = apps.create_namespaced_deployment("typed", DEPLOYMENT)
    assert made.spec.strategy.rolling_update.max_surge == "25%" and made.status is not None
    assert made.metadata.creation_timestamp.year >= 2025
    assert replace(apps, 2).spec.replicas == 2
    with pytest.raises(ApiException) as caught:
        apps.replace_namespaced_deployment("web", "typed", made)
    assert (caught.value.status, caught.value.reason) == (409, "Conflict")
    assert apps.patch_namespaced_deployment("web", "typed", {"spec": {"replicas": 3}}).spec.replicas == 3
    patch = [{"op": "replace", "path": "/spec/replicas", "value": 4}]
    assert apps.patch_namespaced_deployment("web", "typed", patch).spec.replicas == 4
    scale = apps.patch_namespaced_deployment_scale("web", "typed", {"spec": {"replicas": 5}})
    assert (scale.kind, scale.spec.replicas) == ("Scale", 5)
    assert apps.read_namespaced_deployment_status("web", "typed").status is not None
    node = core.create_node(client.V1Node(metadata=client.V1ObjectMeta(name="typed")))
    node.status = client.V1NodeStatus(capacity={"cpu": "4000m"})
    node.metadata.resource_version = None  # controllers write to a node as soon as it is there
    assert core.replace_node_status("typed", node).status.capacity == {"cpu": "4"}
    assert [each.metadata.name for each in apps.list_deployment_for_all_namespaces(label_selector="app=web").items] == [
        "web"
    ]
    pod = client.V1Pod(metadata=client.V1ObjectMeta(generate_name="p-"), spec=DEPLOYMENT.spec.template.spec)
    name = core.create_namespaced_pod("typed", pod, dry_run="All").metadata.name
    assert name.startswith("p-") and len(name) == 7
    gone = apps.delete_namespaced_deployment("web", "typed", body=client.V1DeleteOptions(grace_period_seconds=0))
    assert api.sanitize_for_serialization(gone)["status"] == "Success"


def test_lists_in_pages(api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    for number in range(5):
        core.create_namespaced_secret(
            "typed", client.V1Secret(metadata=client.V1ObjectMeta(name=f"s{number}"), string_data={"a": "b"})
        )
    first = core.list_namespaced_secret("typed", limit=2)
    assert first.metadata.remaining_item_count == 3 and len(first.items) == 2
    rest = core.list_namespaced_secret("typed", limit=10, _continue=first.metadata._continue)
    assert [each.metadata.name for each in rest.items] == ["s2", "s3", "s4"]
    assert rest.items[0].data == {"a": "Yg=="}
    assert core.delete_collection_namespaced_secret("typed") is not None
    assert core.list_namespaced_secret("typed").items == []


def test_watches(api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    seen: list[tuple[str, str]] = []
    first = core.list_namespaced_config_map("typed")
    begun = threading.Event()

    def follow() -> None:
        begun.set()
        events = watch.Watch().stream(
            core.list_namespaced_config_map,
            "typed",
            resource_version=first.metadata.resource_version,
            timeout_seconds=10,
            label_selector="watched",
        )
        for event in events:
            seen.append((event["type"], event["object"].metadata.name))
            if event["type"] == "DELETED":
                return

    thread = threading.Thread(target=follow)
    thread.start()
    begun.wait()
    metadata = client.V1ObjectMeta(name="w", labels={"watched": "1"})
    core.create_namespaced_config_map("typed", client.V1ConfigMap(metadata=metadata))
    core.patch_namespaced_config_map("w", "typed", {"data": {"a": "b"}})
    core.delete_namespaced_config_map("w", "typed")
    thread.join(15)
    assert seen == [("ADDED", "w"), ("MODIFIED", "w"), ("DELETED", "w")]


def test_errors_are_statuses(api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    for call, code in (
        (lambda: core.read_namespaced_pod("none", "typed"), 404),
        (lambda: core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="typed"))), 409),
        (lambda: core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="No"))), 422),
        (lambda: core.list_pod_for_all_namespaces(label_selector="a b"), 400),
        (lambda: core.list_pod_for_all_namespaces(_continue="x"), 400),
        (lambda: core.read_namespaced_pod_log("none", "typed"), 404),
    ):
        with pytest.raises(ApiException) as caught:
            call()
        assert caught.value.status == code and '"kind":"Status"' in caught.value.body


def test_dynamic_objects(api: client.ApiClient) -> None:
    found = dynamic.DynamicClient(api)
    maps = found.resources.get(api_version="v1", kind="ConfigMap")
    body: dict[str, Any] = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "d"}, "data": {"a": "b"}}
    assert maps.create(namespace="typed", body=body).data.a == "b"
    merge = "application/merge-patch+json"
    body["data"] = {"c": "d"}
    assert maps.patch(namespace="typed", body=body, content_type=merge).data.to_dict() == {"a": "b", "c": "d"}
    body["data"] = {"e": "f"}
    applied = maps.server_side_apply(namespace="typed", name="d", body=body, field_manager="me", force_conflicts=True)
    assert applied.data.to_dict() == {"a": "b", "c": "d", "e": "f"}
    assert [each.metadata.name for each in maps.get(namespace="typed", label_selector="", field_selector="").items]
    events = [event["type"] for event in maps.watch(namespace="typed", name="d", timeout=1)]
    assert events[:1] == ["ADDED"]
    assert maps.delete(name="d", namespace="typed").status == "Success"
    deployments = found.resources.get(api_version="apps/v1", kind="Deployment")
    assert deployments.subresources.keys() >= {"scale", "status"}


def test_what_is_made_of_files(api: client.ApiClient) -> None:
    text = {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "f"}, "spec": {"ports": [{"port": 80}]}}
    made = utils.create_from_dict(api, text, namespace="typed")
    assert made[0].spec.cluster_ip.startswith("10.96.")
    version = client.VersionApi(api).get_code()
    assert (version.major, version.minor) == ("1", "36")
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert {"apps", "batch", "networking.k8s.io"} <= groups
