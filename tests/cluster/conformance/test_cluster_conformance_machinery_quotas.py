"""Resource quotas: what is charged, refused and given back, for each kind of object and scope.

Pods ask for a node that is not there, so that none is started: what is charged does not depend on it.
"""

from typing import Any

import pytest
from conformance_kit import Space
from custom_kit import OPEN, custom, version
from nodes_kit import Cluster

pytestmark = pytest.mark.slow

DONGLE = "example.com/dongle"
HARD = {
    "pods": "5",
    "services": "10",
    "services.nodeports": "1",
    "services.loadbalancers": "1",
    "replicationcontrollers": "10",
    "resourcequotas": "1",
    "configmaps": "10",
    "secrets": "10",
    "persistentvolumeclaims": "10",
    "requests.storage": "10Gi",
    "cpu": "1",
    "memory": "500Mi",
    "ephemeral-storage": "50Gi",
    "count/replicasets.apps": "5",
    f"requests.{DONGLE}": "3",
    "gold.storageclass.storage.k8s.io/requests.storage": "10Gi",
}
SCOPED = {"pods": "5"}
AMOUNTS = {"requests.cpu": "1", "requests.memory": "500Mi", "limits.cpu": "2", "limits.memory": "1Gi"}
SMALL = {"requests": {"cpu": "500m", "memory": "200Mi"}, "limits": {"cpu": "1", "memory": "400Mi"}}


def quota(space: Space, name: str = "quota", hard: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return space.made("resourcequotas", {"metadata": {"name": name}, "spec": {"hard": hard or HARD, **spec}})


def until_used(space: Space, name: str = "quota", *, used: dict[str, str] | None = None, **more: str) -> None:
    """The status tells that use of those, and the hard limits of the spec."""
    wanted = {**(used or {}), **more}

    def tells() -> bool:
        found = space.read(f"resourcequotas/{name}")
        status = found.get("status", {})
        return bool(status.get("hard") == found["spec"]["hard"] and wanted.items() <= status.get("used", {}).items())

    space.until(tells, f"{name} tells {wanted}: {space.read(f'resourcequotas/{name}').get('status')}")


def pod(name: str, resources: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    box = {"name": "c", "image": "busybox", "resources": resources or {}}
    labels = spec.pop("labels", {})
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"nodeSelector": {"no-node": "has-this"}, "containers": [box], **spec},
    }


def removed(space: Space, path: str) -> None:
    assert space.request("DELETE", f"{path}?gracePeriodSeconds=0").status in (200, 202)


def refused(space: Space, path: str, body: Any, text: str = "exceeded quota: quota") -> None:
    answer = space.request("POST", path, body)
    assert answer.status == 403 and text in answer.object["message"], answer.body


# Covers: ResourceQuota, object count quota, resourcequotas; ResourceQuota, object count quota, configmap;
# ResourceQuota, object count quota, secret; ResourceQuota, object count quota, replicationController;
# ResourceQuota, object count quota, replicaSet.
def test_objects_are_counted(space: Space) -> None:
    labels = {"app": "none"}
    template = {"metadata": {"labels": labels}, "spec": pod("p")["spec"]}
    made = {
        ("configmaps", "configmaps"): {},
        ("secrets", "secrets"): {},
        ("replicationcontrollers", "replicationcontrollers"): {
            "spec": {"replicas": 0, "selector": labels, "template": template}
        },
        ("count/replicasets.apps", "apps/v1/replicasets"): {
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
        },
    }
    space.until(lambda: not space.is_gone("configmaps/kube-root-ca.crt"), "the namespace has all that it is given")
    base = {counted: len(space.read(path)["items"]) for counted, path in made}
    hard = {**HARD, "secrets": str(base["secrets"] + 1)}
    quota(space, hard=hard)
    until_used(space, used={name: str(count) for name, count in base.items()}, resourcequotas="1", pods="0", cpu="0")
    for (_, path), body in made.items():
        space.made(path, {"metadata": {"name": "one"}, **body})
    until_used(space, used={name: str(count + 1) for name, count in base.items()}, resourcequotas="1")
    full = f"secrets={hard['secrets']}"
    text = f"exceeded quota: quota, requested: secrets=1, used: {full}, limited: {full}"
    refused(space, "secrets", {"metadata": {"name": "two"}}, text)
    refused(space, "resourcequotas", {"metadata": {"name": "two"}, "spec": {"hard": SCOPED}})
    for _, path in made:
        removed(space, f"{path}/one")
    until_used(space, used={name: str(count) for name, count in base.items()}, resourcequotas="1")


# Covers: ResourceQuota, object count quota, service.
def test_services_are_counted_by_their_type(space: Space) -> None:
    quota(space)
    until_used(space, resourcequotas="1", services="0")

    def service(name: str, kind: str, **spec: Any) -> dict[str, Any]:
        spec = {"type": kind, "selector": {"a": "b"}, "ports": [{"port": 80}], **spec}
        return {"metadata": {"name": name}, "spec": spec}

    space.made("services", service("plain", "ClusterIP"))
    space.made("services", service("port", "NodePort"))
    refused(space, "services", service("balancer", "LoadBalancer", allocateLoadBalancerNodePorts=True))
    used = {"services": "2", "services.nodeports": "1", "services.loadbalancers": "0"}
    until_used(space, used=used, resourcequotas="1")
    space.made("services", service("balancer", "LoadBalancer", allocateLoadBalancerNodePorts=False))
    until_used(space, used={"services": "3", "services.nodeports": "1", "services.loadbalancers": "1"})
    for name in ("plain", "port", "balancer"):
        removed(space, f"services/{name}")
    until_used(space, used={"services": "0", "services.nodeports": "0", "services.loadbalancers": "0"})


# Covers: ResourceQuota, object count quota, pod.
def test_what_pods_ask_for_is_charged(space: Space) -> None:
    quota(space)
    until_used(space, resourcequotas="1", pods="0")
    asked = {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", DONGLE: "2"}
    fits = {"requests": asked, "limits": {DONGLE: "2"}}
    made = space.made("pods", pod("fits", fits))
    used = {
        **{name: amount for name, amount in asked.items() if name != DONGLE},
        f"requests.{DONGLE}": "2",
        "pods": "1",
    }
    until_used(space, used=used)
    refused(
        space, "pods", pod("more", {"requests": {**asked, "cpu": "600m", "memory": "100Mi"}, "limits": {DONGLE: "2"}})
    )
    dongles = {"requests": {**asked, "ephemeral-storage": "1Gi", "memory": "100Mi"}, "limits": {DONGLE: "2"}}
    refused(
        space, "pods", pod("dongles", dongles), f"requested: requests.{DONGLE}=2, used: requests.{DONGLE}=2, limited"
    )
    refused(space, "pods", pod("unsaid"), "failed quota: quota: must specify cpu for: c; memory for: c")
    made["spec"]["containers"][0]["resources"]["requests"] = {
        "cpu": "100m",
        "memory": "100Mi",
        "ephemeral-storage": "10Gi",
    }
    del made["metadata"]["resourceVersion"]  # the scheduler has written its status since
    assert space.request("PUT", "pods/fits", made).status == 422
    until_used(space, used=used)
    removed(space, "pods/fits")
    until_used(space, pods="0", cpu="0", memory="0", used={f"requests.{DONGLE}": "0"})


# Covers: ResourceQuota, update and delete; ResourceQuota, manage lifecycle of a ResourceQuota.
def test_quotas_are_changed_listed_and_deleted(suite: Cluster, space: Space) -> None:
    labels = {"of": space.name}
    hard = {"cpu": "1", "memory": "500Mi"}
    made = space.made("resourcequotas", {"metadata": {"name": "quota", "labels": labels}, "spec": {"hard": hard}})
    assert made["spec"]["hard"] == hard
    made["spec"]["hard"] = {"cpu": "2", "memory": "1Gi"}
    del made["metadata"]["resourceVersion"]  # the status has been written since
    assert space.replaced("resourcequotas/quota", made)["spec"]["hard"] == {"cpu": "2", "memory": "1Gi"}
    assert space.read("resourcequotas/quota")["spec"]["hard"] == {"cpu": "2", "memory": "1Gi"}
    everywhere = f"/api/v1/resourcequotas?labelSelector=of={space.name}"
    (found,) = suite.control.request("GET", everywhere).object["items"]
    assert (found["metadata"]["name"], found["metadata"]["namespace"]) == ("quota", space.name)
    change = {"metadata": {"labels": {"patched": "yes"}}, "spec": {"hard": {"memory": "750Mi"}}}
    changed = space.patched("resourcequotas/quota", change)
    assert (
        changed["spec"]["hard"] == {"cpu": "2", "memory": "750Mi"} and changed["metadata"]["labels"]["patched"] == "yes"
    )
    assert space.request("DELETE", "resourcequotas?labelSelector=patched=yes").status == 200
    assert space.is_gone("resourcequotas/quota")
    quota(space, hard=hard)
    removed(space, "resourcequotas/quota")
    assert space.is_gone("resourcequotas/quota")


# Covers: ResourceQuota, apply changes to a ResourceQuota status.
def test_the_status_of_a_quota_follows_its_spec(space: Space) -> None:
    hard = {"cpu": "500m", "memory": "500Mi"}
    quota(space, hard=hard)
    until_used(space, cpu="0", memory="0")
    place = "resourcequotas/quota"

    def replaced() -> bool:
        whole = space.read(f"{place}/status")
        whole["status"]["hard"] = {"cpu": "1", "memory": "1Gi"}
        whole["spec"]["hard"] = {"cpu": "9"}
        answer = space.request("PUT", f"{place}/status", whole)
        return answer.status == 200 and answer.object["status"]["hard"] == {"cpu": "1", "memory": "1Gi"}

    space.until(replaced, "nobody else writes the status meanwhile")
    assert space.read(place)["spec"]["hard"] == hard, "the status alone is written"
    space.patched(place, {"spec": {"hard": {"cpu": "1", "memory": "750Mi"}}})
    until_used(space, cpu="0")
    assert space.read(f"{place}/status")["status"]["hard"] == {"cpu": "1", "memory": "750Mi"}
    patched = space.patched(f"{place}/status", {"spec": {"hard": {"cpu": "9"}}, "status": {"hard": {"cpu": "2"}}})
    assert patched["status"]["hard"] == {"cpu": "2", "memory": "750Mi"}
    assert patched["spec"]["hard"] == {"cpu": "1", "memory": "750Mi"}
    space.patched(f"{place}/status", {"status": {"hard": patched["spec"]["hard"]}})
    until_used(space, cpu="0")


# Covers: ResourceQuota, quota scope, BestEffort and NotBestEffort scope.
def test_quotas_of_a_class(space: Space) -> None:
    quota(space, "best", SCOPED, scopes=["BestEffort"])
    quota(space, "other", SCOPED, scopes=["NotBestEffort"])
    for name in ("best", "other"):
        until_used(space, name, pods="0")
    for asked, charged, spared in (({}, "best", "other"), (SMALL, "other", "best")):
        space.made("pods", pod("web", asked))
        until_used(space, charged, pods="1")
        until_used(space, spared, pods="0")
        removed(space, "pods/web")
        until_used(space, charged, pods="0")


# Covers: ResourceQuota, quota scope, Terminating and NotTerminating scope.
@pytest.mark.parametrize("selected", [False, True], ids=["scopes", "scope selectors"])
def test_quotas_of_pods_that_end_and_others(space: Space, selected: bool) -> None:
    """Terminating are those with a deadline."""
    for name, scope in (("ending", "Terminating"), ("lasting", "NotTerminating")):
        selector = {"matchExpressions": [{"scopeName": scope, "operator": "Exists"}]}
        spec: dict[str, Any] = {"scopeSelector": selector} if selected else {"scopes": [scope]}
        quota(space, name, {**SCOPED, **AMOUNTS}, **spec)
        until_used(space, name, pods="0")
    used = {
        "requests.cpu": "500m",
        "requests.memory": "200Mi",
        "limits.cpu": "1",
        "limits.memory": "400Mi",
        "pods": "1",
    }
    none = dict.fromkeys(used, "0")
    for more, charged, spared in (({}, "lasting", "ending"), ({"activeDeadlineSeconds": 3600}, "ending", "lasting")):
        space.made("pods", pod("web", SMALL, **more))
        until_used(space, charged, used=used)
        until_used(space, spared, used=none)
        removed(space, "pods/web")
        until_used(space, charged, used=none)


def test_quotas_of_priority_classes_and_neighbours(space: Space) -> None:
    """Beyond the list: pods of a class, of several, of all others, and those that look at other namespaces' pods."""
    control = space.cluster.control
    names = [f"{space.name}-{which}" for which in ("gold", "silver")]
    for value, name in enumerate(names, 1000):
        body = {"metadata": {"name": name}, "value": value}
        assert control.request("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", body).status == 201
    try:
        for name, operator, values in (("in", "In", names[:1]), ("not-in", "NotIn", names[:1]), ("any", "Exists", [])):
            selector = {"scopeName": "PriorityClass", "operator": operator, **({"values": values} if values else {})}
            quota(space, name, {"pods": "1"}, scopeSelector={"matchExpressions": [selector]})
            until_used(space, name, pods="0")
        space.made("pods", pod("gold", priorityClassName=names[0]))
        until_used(space, "in", pods="1")
        until_used(space, "not-in", pods="0")
        until_used(space, "any", pods="1")
        refused(space, "pods", pod("again", priorityClassName=names[0]), "exceeded quota: any")
        removed(space, "resourcequotas/any")
        refused(space, "pods", pod("again", priorityClassName=names[0]), "exceeded quota: in")
        space.made("pods", pod("silver", priorityClassName=names[1]))
        until_used(space, "not-in", pods="1")
    finally:
        for name in names:
            control.request("DELETE", f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}")
    removed(space, "resourcequotas/not-in")
    quota(space, "near", {"pods": "0"}, scopes=["CrossNamespacePodAffinity"])
    until_used(space, "near", pods="0")
    term = {"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": "kubernetes.io/hostname"}

    def affine(**more: Any) -> dict[str, Any]:
        return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{**term, **more}]}}

    space.made("pods", pod("own", affinity=affine()))
    refused(space, "pods", pod("others", affinity=affine(namespaces=["default"])), "exceeded quota: near")
    refused(space, "pods", pod("all", affinity=affine(namespaceSelector={})), "exceeded quota: near")


def test_quotas_of_claims_and_custom_resources(space: Space) -> None:
    """Beyond the list: storage by class, and objects of a kind that came later than the controller."""
    gold = "gold.storageclass.storage.k8s.io"
    hard = {"persistentvolumeclaims": "2", "requests.storage": "3Gi", f"{gold}/requests.storage": "1Gi"}
    quota(space, hard={**hard, f"{gold}/persistentvolumeclaims": "1"})
    until_used(space, persistentvolumeclaims="0")

    def claim(name: str, size: str, **spec: Any) -> dict[str, Any]:
        wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
        return {"metadata": {"name": name}, "spec": wanted}

    space.made("persistentvolumeclaims", claim("one", "1Gi", storageClassName="gold"))
    used = {"requests.storage": "1Gi", f"{gold}/requests.storage": "1Gi", f"{gold}/persistentvolumeclaims": "1"}
    until_used(space, used=used, persistentvolumeclaims="1")
    refused(space, "persistentvolumeclaims", claim("two", "1Gi", storageClassName="gold"))
    refused(
        space, "persistentvolumeclaims", claim("two", "3Gi", storageClassName="none"), "requested: requests.storage=3Gi"
    )
    removed(space, "persistentvolumeclaims/one")
    until_used(space, used={"requests.storage": "0", f"{gold}/requests.storage": "0"}, persistentvolumeclaims="0")

    with custom(space, "crates", version("v1", OPEN)) as crates:
        counted = f"count/crates.{crates.group}"
        quota(space, "customs", {counted: "1"})
        until_used(space, "customs", used={counted: "0"})
        space.made(crates.path(), crates.object("one"))
        until_used(space, "customs", used={counted: "1"})
        refused(space, crates.path(), crates.object("two"), "exceeded quota: customs")
        removed(space, crates.path("one"))
        until_used(space, "customs", used={counted: "0"})
        space.made(crates.path(), crates.object("two"))


def test_a_pod_that_should_have_gone_is_not_charged(space: Space) -> None:
    """Beyond the list: one that hangs, as on a lost node, does not keep others from being made in its place."""
    quota(space, hard={"pods": "1"})
    until_used(space, pods="0")
    space.made("pods", {**pod("stuck"), "metadata": {"name": "stuck", "finalizers": ["example.com/held"]}})
    refused(space, "pods", pod("other"))
    removed(space, "pods/stuck")
    until_used(space, pods="0")
    assert space.pod("stuck")["metadata"]["deletionTimestamp"]
    space.made("pods", pod("other"))
    space.patched("pods/stuck", {"metadata": {"finalizers": None}})
