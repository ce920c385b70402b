"""The built-in resources: every kind of the stable groups of Kubernetes 1.36, with the names, verbs and subresources
that the original's discovery tells, and the keys and versions that it stores them by.

Only what is served stands here: `schema` knows more definitions than this. Custom resources never come in here; the
API's own catalogue joins both. Facts: the API reference of 1.36, and discovery of a stock server.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping

from boxship.cluster.objects.resource import Resource, Subresource

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
PART_VERBS = ("get", "patch", "update")
PROXY_VERBS = ("create", "delete", "get", "patch", "update")
CONNECT_VERBS = ("create", "get")

# Groups in the order of the original's discovery; the versions of a group with the preferred one first.
GROUP_VERSIONS: Mapping[str, tuple[str, ...]] = {
    "": ("v1",),
    "apiregistration.k8s.io": ("v1",),
    "apps": ("v1",),
    "events.k8s.io": ("v1",),
    "authentication.k8s.io": ("v1",),
    "authorization.k8s.io": ("v1",),
    "autoscaling": ("v2", "v1"),
    "batch": ("v1",),
    "certificates.k8s.io": ("v1",),
    "networking.k8s.io": ("v1",),
    "policy": ("v1",),
    "rbac.authorization.k8s.io": ("v1",),
    "storage.k8s.io": ("v1",),
    "admissionregistration.k8s.io": ("v1",),
    "apiextensions.k8s.io": ("v1",),
    "scheduling.k8s.io": ("v1",),
    "coordination.k8s.io": ("v1",),
    "node.k8s.io": ("v1",),
    "discovery.k8s.io": ("v1",),
    "flowcontrol.apiserver.k8s.io": ("v1",),
    "resource.k8s.io": ("v1",),
}
PREFERRED: Mapping[str, str] = {group: versions[0] for group, versions in GROUP_VERSIONS.items()}

STATUS = {"status": Subresource(PART_VERBS)}
SCALE = {"scale": Subresource(PART_VERBS, "Scale", "autoscaling", "v1"), **STATUS}


def _own(kind: str, verbs: tuple[str, ...]) -> Subresource:
    """A subresource with a kind of its own in the resource's own group and version."""
    return Subresource(verbs, kind)


NAMESPACE_PARTS = {"finalize": Subresource(("update",)), **STATUS}
NODE_PARTS = {"proxy": _own("NodeProxyOptions", PROXY_VERBS), **STATUS}
POD_PARTS = {
    "attach": _own("PodAttachOptions", CONNECT_VERBS),
    "binding": _own("Binding", ("create",)),
    "ephemeralcontainers": Subresource(PART_VERBS),
    "eviction": Subresource(("create",), "Eviction", "policy", "v1"),
    "exec": _own("PodExecOptions", CONNECT_VERBS),
    "log": Subresource(("get",)),
    "portforward": _own("PodPortForwardOptions", CONNECT_VERBS),
    "proxy": _own("PodProxyOptions", PROXY_VERBS),
    "resize": Subresource(PART_VERBS),
    **STATUS,
}
SERVICE_PARTS = {"proxy": _own("ServiceProxyOptions", PROXY_VERBS), **STATUS}
TOKEN = {"token": Subresource(("create",), "TokenRequest", "authentication.k8s.io", "v1")}
APPROVAL = {"approval": Subresource(PART_VERBS), **STATUS}
EXTENSIONS = ("api-extensions",)
EVERYTHING = ("all",)  # what `kubectl get all` lists


def _make(
    kind: str,
    plural: str,
    *short_names: str,
    cluster: bool = False,
    parts: Mapping[str, Subresource] | None = None,
    categories: tuple[str, ...] = (),
    verbs: tuple[str, ...] = ALL_VERBS,
    storage: str = "",
    storage_version: str = "",
    stored: bool = True,
) -> tuple[Resource, ...]:
    """A resource that does not know its group and version yet."""
    return (
        Resource(
            group="",
            version="",
            kind=kind,
            plural=plural,
            singular=kind.lower(),
            namespaced=not cluster,
            storage=storage or plural,
            storage_version=storage_version,
            verbs=verbs,
            short_names=short_names,
            categories=categories,
            subresources=parts or {},
            stored=stored,
        ),
    )


def _review(kind: str, *, cluster: bool = True) -> tuple[Resource, ...]:
    return _make(kind, kind.lower() + "s", cluster=cluster, verbs=("create",), stored=False)


CORE = (
    *_make("Binding", "bindings", verbs=("create",), stored=False),
    *_make("ComponentStatus", "componentstatuses", "cs", cluster=True, verbs=("get", "list"), stored=False),
    *_make("ConfigMap", "configmaps", "cm"),
    *_make("Endpoints", "endpoints", "ep", storage="services/endpoints"),
    *_make("Event", "events", "ev"),
    *_make("LimitRange", "limitranges", "limits"),
    *_make(
        "Namespace",
        "namespaces",
        "ns",
        cluster=True,
        parts=NAMESPACE_PARTS,
        verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
    ),
    *_make("Node", "nodes", "no", cluster=True, parts=NODE_PARTS, storage="minions"),
    *_make("PersistentVolumeClaim", "persistentvolumeclaims", "pvc", parts=STATUS),
    *_make("PersistentVolume", "persistentvolumes", "pv", cluster=True, parts=STATUS),
    *_make("Pod", "pods", "po", parts=POD_PARTS, categories=EVERYTHING),
    *_make("PodTemplate", "podtemplates"),
    *_make(
        "ReplicationController",
        "replicationcontrollers",
        "rc",
        parts=SCALE,
        categories=EVERYTHING,
        storage="controllers",
    ),
    *_make("ResourceQuota", "resourcequotas", "quota", parts=STATUS),
    *_make("Secret", "secrets"),
    *_make("ServiceAccount", "serviceaccounts", "sa", parts=TOKEN),
    *_make("Service", "services", "svc", parts=SERVICE_PARTS, categories=EVERYTHING, storage="services/specs"),
)
APPS = (
    *_make("ControllerRevision", "controllerrevisions"),
    *_make("DaemonSet", "daemonsets", "ds", parts=STATUS, categories=EVERYTHING),
    *_make("Deployment", "deployments", "deploy", parts=SCALE, categories=EVERYTHING),
    *_make("ReplicaSet", "replicasets", "rs", parts=SCALE, categories=EVERYTHING),
    *_make("StatefulSet", "statefulsets", "sts", parts=SCALE, categories=EVERYTHING),
)
AUTHORIZATION = (
    *_review("LocalSubjectAccessReview", cluster=False),
    *_review("SelfSubjectAccessReview"),
    *_review("SelfSubjectRulesReview"),
    *_review("SubjectAccessReview"),
)
AUTOSCALING = _make(
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    "hpa",
    parts=STATUS,
    categories=EVERYTHING,
    storage_version="autoscaling/v2",
)
BATCH = (
    *_make("CronJob", "cronjobs", "cj", parts=STATUS, categories=EVERYTHING),
    *_make("Job", "jobs", parts=STATUS, categories=EVERYTHING),
)
NETWORKING = (
    *_make("IngressClass", "ingressclasses", cluster=True),
    *_make("Ingress", "ingresses", "ing", parts=STATUS, storage="ingress"),
    *_make("IPAddress", "ipaddresses", "ip", cluster=True),
    *_make("NetworkPolicy", "networkpolicies", "netpol"),
    *_make("ServiceCIDR", "servicecidrs", cluster=True, parts=STATUS),
)
RBAC = (
    *_make("ClusterRoleBinding", "clusterrolebindings", cluster=True),
    *_make("ClusterRole", "clusterroles", cluster=True),
    *_make("RoleBinding", "rolebindings"),
    *_make("Role", "roles"),
)
STORAGE = (
    *_make("CSIDriver", "csidrivers", cluster=True),
    *_make("CSINode", "csinodes", cluster=True),
    *_make("CSIStorageCapacity", "csistoragecapacities"),
    *_make("StorageClass", "storageclasses", "sc", cluster=True),
    *_make("VolumeAttachment", "volumeattachments", cluster=True, parts=STATUS),
    *_make("VolumeAttributesClass", "volumeattributesclasses", "vac", cluster=True),
)
ADMISSION = (
    *_make("MutatingAdmissionPolicy", "mutatingadmissionpolicies", cluster=True, categories=EXTENSIONS),
    *_make("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", cluster=True, categories=EXTENSIONS),
    *_make("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", cluster=True, categories=EXTENSIONS),
    *_make(
        "ValidatingAdmissionPolicy", "validatingadmissionpolicies", cluster=True, parts=STATUS, categories=EXTENSIONS
    ),
    *_make(
        "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", cluster=True, categories=EXTENSIONS
    ),
    *_make("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", cluster=True, categories=EXTENSIONS),
)
DEFINITIONS = _make(
    "CustomResourceDefinition",
    "customresourcedefinitions",
    "crd",
    "crds",
    cluster=True,
    parts=STATUS,
    categories=EXTENSIONS,
    storage="apiextensions.k8s.io/customresourcedefinitions",
)
SERVICES = _make(
    "APIService",
    "apiservices",
    cluster=True,
    parts=STATUS,
    categories=EXTENSIONS,
    storage="apiregistration.k8s.io/apiservices",
)
SIGNING = _make("CertificateSigningRequest", "certificatesigningrequests", "csr", cluster=True, parts=APPROVAL)
FAIRNESS = (
    *_make("FlowSchema", "flowschemas", cluster=True, parts=STATUS),
    *_make("PriorityLevelConfiguration", "prioritylevelconfigurations", cluster=True, parts=STATUS),
)
DEVICES = (
    *_make("DeviceClass", "deviceclasses", cluster=True),
    *_make("ResourceClaim", "resourceclaims", parts=STATUS),
    *_make("ResourceClaimTemplate", "resourceclaimtemplates"),
    *_make("ResourceSlice", "resourceslices", cluster=True),
)
WARNINGS: Mapping[str, str] = {
    "ComponentStatus": "v1 ComponentStatus is deprecated in v1.19+",
    "Endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}
KINDS: Mapping[str, tuple[Resource, ...]] = {
    "": CORE,
    "apiregistration.k8s.io": SERVICES,
    "apps": APPS,
    "events.k8s.io": _make("Event", "events", "ev", storage_version="v1"),
    "authentication.k8s.io": (*_review("SelfSubjectReview"), *_review("TokenReview")),
    "authorization.k8s.io": AUTHORIZATION,
    "autoscaling": AUTOSCALING,
    "batch": BATCH,
    "certificates.k8s.io": SIGNING,
    "networking.k8s.io": NETWORKING,
    "policy": _make("PodDisruptionBudget", "poddisruptionbudgets", "pdb", parts=STATUS),
    "rbac.authorization.k8s.io": RBAC,
    "storage.k8s.io": STORAGE,
    "admissionregistration.k8s.io": ADMISSION,
    "apiextensions.k8s.io": DEFINITIONS,
    "scheduling.k8s.io": _make("PriorityClass", "priorityclasses", "pc", cluster=True),
    "coordination.k8s.io": _make("Lease", "leases"),
    "node.k8s.io": _make("RuntimeClass", "runtimeclasses", cluster=True),
    "discovery.k8s.io": _make("EndpointSlice", "endpointslices"),
    "flowcontrol.apiserver.k8s.io": FAIRNESS,
    "resource.k8s.io": DEVICES,
}


METRICS = "metrics.k8s.io"
FOR_NODES = "node.boxship.io"
READ_VERBS = ("get", "list")
METRIC_KINDS = (
    *_make("NodeMetrics", "nodes", cluster=True, verbs=READ_VERBS, stored=False),
    *_make("PodMetrics", "pods", verbs=READ_VERBS, stored=False),
)
# Of a stored pod what its neighbours may know: `pod_addresses` says what is left of it.
ADDRESSES = _make("PodAddress", "podaddresses", verbs=("get", "list", "watch"), storage="pods", storage_version="v1")


def _placed(resource: Resource, group: str, version: str) -> Resource:
    own = f"{group}/{version}" if group else version
    return Resource(
        group=group,
        version=version,
        kind=resource.kind,
        plural=resource.plural,
        singular=resource.singular,
        namespaced=resource.namespaced,
        storage=resource.storage,
        storage_version=resource.storage_version or own,
        verbs=resource.verbs,
        short_names=resource.short_names,
        categories=resource.categories,
        subresources=resource.subresources,
        stored=resource.stored,
        warning=WARNINGS.get(resource.kind, "") if not group else "",
    )


def _all() -> Iterator[Resource]:
    for group, versions in GROUP_VERSIONS.items():
        for version in versions:
            yield from (_placed(resource, group, version) for resource in KINDS[group])


RESOURCES: tuple[Resource, ...] = tuple(_all())
# What is made for each request. Another server may take such a group over, by an APIService.
COMPUTED: tuple[Resource, ...] = (
    *(_placed(resource, METRICS, "v1beta1") for resource in METRIC_KINDS),
    *(_placed(resource, FOR_NODES, "v1") for resource in ADDRESSES),
)
_BY_PLURAL = {(each.group, each.version, each.plural): each for each in RESOURCES}
_BY_KIND = {(each.group, each.version, each.kind): each for each in RESOURCES}


def built_in(group: str, version: str, plural: str) -> Resource | None:
    return _BY_PLURAL.get((group, version, plural))


def of_kind(group: str, version: str, kind: str) -> Resource | None:
    return _BY_KIND.get((group, version, kind))


def storage_hash(resource: Resource) -> str:
    """What discovery shows as storageVersionHash: clients see by it that a resource is stored otherwise than before.
    Empty for what is not stored."""
    if not resource.stored:
        return ""
    stored_as = resource.storage_version if "/" in resource.storage_version else f"/{resource.storage_version}"
    return base64.b64encode(hashlib.sha256(f"{stored_as}/{resource.kind}".encode()).digest()[:8]).decode()
