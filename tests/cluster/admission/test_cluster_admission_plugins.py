"""The plugins that fill in what other objects say, each alone, and the order of all of them."""

import copy
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cluster_admission_kit import Known, named, pod, resource_at, write

from boxship.cluster.api.admission import Attributes
from boxship.cluster.api.admission.chain import AdmissionChain, make
from boxship.cluster.api.admission.defaults import (
    DefaultIngressClass,
    DefaultStorageClass,
    DefaultTolerationSeconds,
    RuntimeClass,
    StorageObjectInUseProtection,
    TaintNodesByCondition,
)
from boxship.cluster.api.admission.external_addresses import DenyServiceExternalIPs, NodesOwnPorts
from boxship.cluster.api.admission.namespaces import NamespaceLifecycle
from boxship.cluster.api.admission.pod_security import PodSecurity
from boxship.cluster.api.admission.priorities import Priority
from boxship.cluster.api.admission.service_accounts import MOUNT, ServiceAccount
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure

PREFIX = "pod-security.kubernetes.io"


async def test_namespaces_must_be_there_and_stay() -> None:
    namespaces = resource_at("v1/namespaces")
    going = named("going", status={"phase": "Terminating"})
    known = Known().put("v1/namespaces", named("default"), going)
    plugin = NamespaceLifecycle(known, namespaces)
    await plugin.admit(write("v1/configmaps", named("c")))
    with pytest.raises(Failure, match='namespaces "nowhere" not found') as missing:
        await plugin.admit(write("v1/configmaps", named("c"), namespace="nowhere"))
    assert missing.value.code == 404
    with pytest.raises(Failure, match="because it is being terminated") as refused:
        await plugin.admit(write("v1/configmaps", named("c"), namespace="going"))
    assert refused.value.code == 403 and refused.value.causes[0].reason == "NamespaceTerminating"
    await plugin.admit(write("v1/configmaps", named("c"), old=named("c"), operation="UPDATE", namespace="going"))
    for name in ("default", "kube-system", "kube-public"):
        with pytest.raises(Failure, match=f'namespaces "{name}" is forbidden: this namespace may not be deleted'):
            await plugin.admit(write("v1/namespaces", None, old=named(name), operation="DELETE"))
    await plugin.admit(write("v1/namespaces", None, old=named("mine"), operation="DELETE"))
    await plugin.admit(write("authorization.k8s.io/v1/localsubjectaccessreviews", {"spec": {}}, namespace="nowhere"))


async def test_pods_get_their_account_and_its_token() -> None:
    known = Known().put("v1/serviceaccounts", named("default", "default", imagePullSecrets=[{"name": "pull"}]))
    plugin = ServiceAccount(known)
    made = pod(initContainers=[{"name": "i", "volumeMounts": [{"name": "mine", "mountPath": MOUNT}]}])
    await plugin.admit(write("v1/pods", made))
    spec = made["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-") and len(volume["projected"]["sources"]) == 3
    assert spec["containers"][0]["volumeMounts"] == [{"name": volume["name"], "readOnly": True, "mountPath": MOUNT}]
    assert len(spec["initContainers"][0]["volumeMounts"]) == 1  # it has something at that place
    await plugin.admit(write("v1/pods", made))
    assert len(spec["volumes"]) == 1  # admitting twice adds nothing
    await plugin.validate(write("v1/pods", made))
    silent = pod(automountServiceAccountToken=False)
    await plugin.admit(write("v1/pods", silent))
    assert "volumes" not in silent["spec"]
    with pytest.raises(Failure, match='error looking up service account default/no: serviceaccount "no" not found'):
        await plugin.admit(write("v1/pods", pod(serviceAccountName="no")))


async def test_mirror_pods_and_enforced_secrets() -> None:
    strict = named("strict", "default", metadata={"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}})
    strict["secrets"] = [{"name": "one"}]
    plugin = ServiceAccount(Known().put("v1/serviceaccounts", strict))
    volumes = [{"name": "v", "secret": {"secretName": "two"}}]
    with pytest.raises(Failure, match='secretName="two" is not allowed because service account strict'):
        await plugin.validate(write("v1/pods", pod(serviceAccountName="strict", volumes=volumes)))
    running = pod(serviceAccountName="strict")
    running["spec"]["ephemeralContainers"] = [{"name": "e", "envFrom": [{"secretRef": {"name": "two"}}]}]
    debug = write("v1/pods", running, old=pod(serviceAccountName="strict"), operation="UPDATE")
    debug.request = msgspec.structs.replace(debug.request, subresource="ephemeralcontainers")
    with pytest.raises(Failure, match='secretName="two" is not allowed'):
        await plugin.validate(debug)
    running["spec"]["serviceAccountName"] = "gone"  # whose account has gone meanwhile can be looked into all the same
    await plugin.validate(debug)
    mirror = pod(volumes=volumes)
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    with pytest.raises(Failure, match="a mirror pod may not reference secrets"):
        await plugin.validate(write("v1/pods", mirror))


async def test_priorities() -> None:
    high = named("high", value=1000, preemptionPolicy="Never")
    low, usual = named("low", value=5, globalDefault=True), named("usual", value=10, globalDefault=True)
    path = "scheduling.k8s.io/v1/priorityclasses"
    plugin = Priority(Known().put(path, high, usual, low))
    made = pod(priorityClassName="high")
    await plugin.admit(write("v1/pods", made))
    assert (made["spec"]["priority"], made["spec"]["preemptionPolicy"]) == (1000, "Never")
    plain = pod()
    await plugin.admit(write("v1/pods", plain))
    assert (plain["spec"]["priorityClassName"], plain["spec"]["priority"]) == ("low", 5)
    with pytest.raises(Failure, match="no PriorityClass with name nothing was found"):
        await plugin.admit(write("v1/pods", pod(priorityClassName="nothing")))
    with pytest.raises(Failure, match=r"integer value of priority \(7\) must not be provided"):
        await plugin.admit(write("v1/pods", pod(priority=7)))
    changed = pod()
    await plugin.admit(write("v1/pods", changed, old=made, operation="UPDATE"))
    assert changed["spec"]["priority"] == 1000
    with pytest.raises(Failure, match=r"is already marked as default\. Only one default can exist"):
        await plugin.validate(write(path, named("third", value=1, globalDefault=True)))
    await plugin.validate(write(path, named("third", value=1)))
    with pytest.raises(Failure, match="this is a system priority class and cannot be deleted"):
        await plugin.admit(write(path, named("system-node-critical"), operation="DELETE"))
    await plugin.admit(write(path, high, operation="DELETE"))


async def test_small_defaults() -> None:
    made = pod(tolerations=[{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}])
    await DefaultTolerationSeconds().admit(write("v1/pods", made))
    assert [each["key"] for each in made["spec"]["tolerations"]] == [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ]
    tolerant = pod(tolerations=[{"operator": "Exists"}])
    await DefaultTolerationSeconds().admit(write("v1/pods", tolerant))
    assert len(tolerant["spec"]["tolerations"]) == 1
    node = named("n")
    for _ in range(2):
        await TaintNodesByCondition().admit(write("v1/nodes", node))
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    claim = named("c", spec={})
    for _ in range(2):
        await StorageObjectInUseProtection().admit(write("v1/persistentvolumeclaims", claim))
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


async def test_default_classes() -> None:
    def marked(name: str, made: str) -> dict[str, Any]:
        marks = {
            "storageclass.kubernetes.io/is-default-class": "true",
            "ingressclass.kubernetes.io/is-default-class": "true",
        }
        return named(name, metadata={"annotations": marks, "creationTimestamp": made})

    older, newer = marked("older", "2026-01-01T00:00:00Z"), marked("newer", "2026-02-01T00:00:00Z")
    known = Known().put("storage.k8s.io/v1/storageclasses", named("plain"), older, newer)
    known.put("networking.k8s.io/v1/ingressclasses", older, newer)
    claim, chosen = named("c", spec={}), named("c", spec={"storageClassName": ""})
    for each in (claim, chosen):
        await DefaultStorageClass(known).admit(write("v1/persistentvolumeclaims", each))
    assert claim["spec"]["storageClassName"] == "newer" and chosen["spec"]["storageClassName"] == ""
    twin = marked("another", "2026-02-01T00:00:00Z")  # as old as the newest: the first by name
    for classes, wanted in (((older, newer), "newer"), ((newer, older, twin), "another"), ((older,), "older")):
        known.objects.pop("networking.k8s.io/v1/ingressclasses", None)
        known.put("networking.k8s.io/v1/ingressclasses", *classes)
        ingress = named("i", spec={})
        await DefaultIngressClass(known).admit(write("networking.k8s.io/v1/ingresses", ingress))
        assert ingress["spec"]["ingressClassName"] == wanted


async def test_runtime_classes() -> None:
    heavy = named("heavy", overhead={"podFixed": {"cpu": "250m"}})
    heavy["scheduling"] = {"nodeSelector": {"kind": "heavy"}, "tolerations": [{"key": "heavy", "operator": "Exists"}]}
    plugin = RuntimeClass(Known().put("node.k8s.io/v1/runtimeclasses", heavy))
    made = pod(runtimeClassName="heavy", nodeSelector={"disk": "fast"})
    await plugin.admit(write("v1/pods", made))
    assert made["spec"]["overhead"] == {"cpu": "250m"}
    assert made["spec"]["nodeSelector"] == {"disk": "fast", "kind": "heavy"} and made["spec"]["tolerations"]
    await plugin.validate(write("v1/pods", made))
    for wrong, text in (
        (pod(runtimeClassName="none"), 'RuntimeClass "none" not found'),
        (pod(runtimeClassName="heavy", overhead={"cpu": "1"}), "doesn't match RuntimeClass's defined Overhead"),
        (pod(runtimeClassName="heavy", nodeSelector={"kind": "light"}), "conflict: runtimeClass"),
    ):
        with pytest.raises(Failure, match=text):
            await plugin.admit(write("v1/pods", wrong))
    with pytest.raises(Failure, match="Pod Overhead set without corresponding RuntimeClass"):
        await plugin.validate(write("v1/pods", pod(overhead={"cpu": "1"})))


async def test_pod_security_by_namespace() -> None:
    labels = {f"{PREFIX}/enforce": "baseline", f"{PREFIX}/warn": "restricted", f"{PREFIX}/audit": "restricted"}
    known = Known().put("v1/namespaces", named("default", metadata={"labels": labels}))
    plugin = PodSecurity(known)
    with pytest.raises(Failure, match='pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces'):
        await plugin.validate(write("v1/pods", pod(hostNetwork=True)))
    allowed = write("v1/pods", pod())
    await plugin.validate(allowed)
    assert 'would violate PodSecurity "restricted:latest"' in allowed.request.warn[0]
    assert set(allowed.request.notes) == {f"{PREFIX}/enforce-policy", f"{PREFIX}/audit-violations"}
    maker = write("apps/v1/deployments", named("d", spec={"template": pod(hostNetwork=True)}))
    await plugin.validate(maker)
    assert "host namespaces" in maker.request.warn[0]  # what makes pods is warned about, not refused
    known.put("v1/pods", pod("a", hostNetwork=True), pod("b", hostNetwork=True), pod("c"))
    tightened = write(
        "v1/namespaces",
        named("default", metadata={"labels": {f"{PREFIX}/enforce": "baseline"}}),
        old=named("default"),
        operation="UPDATE",
    )
    await plugin.validate(tightened)
    assert tightened.request.warn[1] == "a (and 1 other pod): host namespaces"
    with pytest.raises(Failure, match="Invalid value") as wrong:
        await plugin.validate(write("v1/namespaces", named("n", metadata={"labels": {f"{PREFIX}/warn": "none"}})))
    assert wrong.value.causes[0].field == f"metadata.labels[{PREFIX}/warn]"


def service(*external: str, port: int = 80, protocol: str = "TCP") -> dict[str, Any]:
    return {**named("s"), "spec": {"externalIPs": list(external), "ports": [{"port": port, "protocol": protocol}]}}


async def test_external_addresses_can_be_denied() -> None:
    plugin = DenyServiceExternalIPs()
    await plugin.validate(write("v1/services", service()))
    with pytest.raises(Failure, match="Use of external IPs is denied by admission control") as refused:
        await plugin.validate(write("v1/services", service("192.0.2.1")))
    assert refused.value.code == 403
    had = service("192.0.2.1", "192.0.2.2")
    await plugin.validate(write("v1/services", service("192.0.2.2"), old=had, operation="UPDATE"))
    await plugin.validate(write("v1/services", None, old=had, operation="DELETE"))
    with pytest.raises(Failure):
        await plugin.validate(write("v1/services", service("192.0.2.3"), old=had, operation="UPDATE"))
    chain = make(Known(), Known(), resource_at("v1/namespaces"), (), ())
    assert plugin.name not in [each.name for each in chain]
    chain = make(Known(), Known(), resource_at("v1/namespaces"), (), (), [plugin.name])
    assert plugin.name in [each.name for each in chain]


@pytest.mark.parametrize(
    ("port", "protocol", "taken"),
    [
        (22, "TCP", True),
        (10350, "TCP", True),
        (7443, "TCP", True),
        (8472, "UDP", True),
        (31000, "UDP", True),
        (22, "UDP", False),
    ],
)
async def test_what_nodes_are_reached_at_is_nobodys(port: int, protocol: str, taken: bool) -> None:
    endpoints = {"kubeletEndpoint": {"Port": 10350}}
    node = named("one", status={"addresses": [{"address": "192.0.2.1"}], "daemonEndpoints": endpoints})
    api = named("kubernetes", "default", spec={"ports": [{"port": 443, "targetPort": 7443}]})
    plugin = NodesOwnPorts(Known().put("v1/nodes", node).put("v1/services", api))
    await plugin.validate(write("v1/services", service("192.0.2.9", port=port, protocol=protocol)))
    await plugin.validate(write("v1/services", service("192.0.2.1", port=80)))
    asked = service("192.0.2.1", port=port, protocol=protocol)
    await plugin.validate(write("v1/services", asked, old=asked, operation="UPDATE"))
    if not taken:
        await plugin.validate(write("v1/services", asked))
        return
    for old in (None, service("192.0.2.9", port=port, protocol=protocol), service("192.0.2.1")):
        with pytest.raises(Failure, match=f"192.0.2.1 is a node's address, whose {protocol} port {port} is the"):
            await plugin.validate(write("v1/services", asked, old=old, operation="UPDATE" if old else "CREATE"))


class Recorder:
    """A plugin that notes when it is called, and may change the object as a webhook does."""

    def __init__(self, name: str, calls: list[str], change: Callable[[Object], None] = lambda _: None) -> None:
        self.name, self._calls, self._change = name, calls, change

    async def admit(self, attributes: Attributes) -> None:
        self._calls.append(f"{self.name}{' again' if attributes.again else ''}")
        assert attributes.object is not None
        before = copy.deepcopy(attributes.object)
        self._change(attributes.object)
        attributes.altered |= attributes.object != before

    async def validate(self, attributes: Attributes) -> None:
        self._calls.append(f"{self.name} validates")


async def test_the_order_and_the_second_walk() -> None:
    known = Known().put("v1/namespaces", named("default"))
    calls: list[str] = []
    early = Recorder("early", calls)
    late = Recorder("late", calls, lambda made: made.setdefault("data", {}).update(late="x"))
    looker = Recorder("looker", calls)
    chain = AdmissionChain(make(known, known, resource_at("v1/namespaces"), (early, late), (looker,)))
    names = [plugin.name for plugin in chain.plugins]
    assert names[:3] == ["NamespaceLifecycle", "LimitRanger", "ServiceAccount"] and names[-1] == "ResourceQuota"
    attributes = write("v1/configmaps", named("c"))
    await chain.admit(attributes)
    await chain.validate(attributes)
    # `late` changed what all before it had seen: everybody looks again, once.
    changing = ["early", "late", "looker"]
    seen_again = [f"{name} again" for name in changing]
    assert calls == [*changing, *seen_again, "early validates", "late validates", "looker validates"]
    calls.clear()
    settled = write("v1/configmaps", {**named("c"), "data": {"late": "x"}})
    await chain.admit(settled)
    assert calls == changing


async def test_what_a_webhook_adds_is_completed_too() -> None:
    limits = {"limits": [{"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}}]}
    known = Known().put("v1/namespaces", named("default")).put("v1/serviceaccounts", named("default", "default"))
    known.put("v1/limitranges", named("l", "default", spec=limits))
    sidecar = Recorder(
        "sidecar", [], lambda made: made["spec"].setdefault("initContainers", [{"name": "i", "image": "i"}])
    )
    chain = AdmissionChain(make(known, known, resource_at("v1/namespaces"), (sidecar,), ()))
    made = pod()
    await chain.admit(write("v1/pods", made))
    (added,) = made["spec"]["initContainers"]
    assert [each["mountPath"] for each in added["volumeMounts"]] == [MOUNT]
    assert added["resources"]["limits"] == {"cpu": "1"}
    assert len(made["spec"]["volumes"]) == 1
