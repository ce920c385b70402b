"""The `kr8s` client: it finds kinds by discovery and patches by merge."""

import kr8s
import pytest
from control_kit import Control
from kr8s.objects import ConfigMap, Deployment, Namespace, Pod, new_class


@pytest.fixture(scope="module")
def api(control: Control) -> "kr8s.Api":
    return kr8s.api(kubeconfig=str(control.kubeconfig))


def test_objects(api: "kr8s.Api") -> None:
    Namespace({"metadata": {"name": "kr"}}, api=api).create()
    made = ConfigMap({"metadata": {"name": "a", "namespace": "kr"}, "data": {"x": "1"}}, api=api)
    made.create()
    made.patch({"data": {"y": "2"}})
    made.label({"team": "one"})
    assert made.raw["data"] == {"x": "1", "y": "2"} and made.exists()
    found = list(api.get("configmaps", namespace="kr", label_selector="team=one"))
    assert [each.name for each in found] == ["a"]
    made.delete()
    made.wait(["delete"], timeout=10)
    assert not made.exists()


def test_workloads(api: "kr8s.Api") -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    web = Deployment({"metadata": {"name": "web", "namespace": "default"}, "spec": spec}, api=api)
    web.create()
    web.patch({"spec": {"replicas": 3}}, subresource="scale")
    web.refresh()
    assert web.replicas == 3 and not web.ready()
    pod = Pod({"metadata": {"name": "p", "namespace": "default"}, "spec": template["spec"]}, api=api)
    pod.create()
    assert Pod.get("p", namespace="default", api=api).status["phase"] == "Pending"
    pod.delete()
    web.delete()


def test_discovery(api: "kr8s.Api") -> None:
    kinds = {entry["kind"] for entry in api.api_resources()}
    assert {"Pod", "Deployment", "CustomResourceDefinition"} <= kinds
    assert api.version()["minor"] == "36" and api.whoami() == "kubernetes-admin"
    leases = new_class("Lease", "coordination.k8s.io/v1", namespaced=True)
    lease = leases({"metadata": {"name": "l", "namespace": "default"}, "spec": {"holderIdentity": "me"}}, api=api)
    lease.create()
    assert leases.get("l", namespace="default", api=api).spec["holderIdentity"] == "me"
    lease.delete()
