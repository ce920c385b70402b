"""Defaults of pods and of everything with a pod's template.

Source: the API reference of core/v1 (PodSpec, Container, Volume, Probe), "Images" (pull policy), "Resource Management
for Pods and Containers" (requests follow limits, pod-level resources); k8s.io/kubernetes, apis/core/v1. What is
filled in only for a Pod, never in a template, stands in `default_pod`. Quantities are canonical text before this runs.
"""

from typing import Any

from boxship.cluster.objects import Object, quantity
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.kinds.checking import child, fill
from boxship.cluster.objects.kinds.core_resources import (
    ResourceList,
    aggregate,
    is_hugepages,
    is_overcommitted,
    is_pod_level,
    parsed,
)

SPEC = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
}
PROBE = (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3))
FILE_MODE = 0o644
TOKEN_SECONDS = 3600
# Volume sources with fields that have defaults of their own.
SOURCES: dict[str, dict[str, Any]] = {
    "secret": {"defaultMode": FILE_MODE},
    "configMap": {"defaultMode": FILE_MODE},
    "downwardAPI": {"defaultMode": FILE_MODE},
    "projected": {"defaultMode": FILE_MODE},
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}


def default_pod(pod: Object) -> None:
    status = pod.get("status")
    if status:
        _default_addresses(status)
    spec = pod.get("spec")
    if spec is None:
        return
    default_pod_spec(spec)
    for key in ("containers", "initContainers"):
        for container in spec.get(key) or ():
            resources = container["resources"]
            limits = resources.get("limits")
            if limits:
                requests = child(resources, "requests")
                for name, amount in limits.items():
                    requests.setdefault(name, amount)
    if spec.get("resources"):
        _default_pod_resources(spec)
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    if spec.get("hostNetwork"):
        for key in ("containers", "initContainers"):
            for container in spec.get(key) or ():
                for port in container.get("ports") or ():
                    if not port.get("hostPort") and port.get("containerPort"):
                        port["hostPort"] = port["containerPort"]


def _default_addresses(status: Object) -> None:
    """The first address of a pod stands in two fields; what the older one says counts."""
    address, listed = status.get("podIP"), status.get("podIPs")
    if address and (not listed or listed[0].get("ip") != address):
        status["podIPs"] = [{"ip": address}]
    elif listed and not address:
        status["podIP"] = listed[0].get("ip") or ""


def default_template(object: Object) -> None:
    """The template of a controller: `object` has it at `template`. Metadata that is not there is not made: whoever
    applied the object would own it, and take away with it what others put in."""
    template = object.get("template")
    if template is not None:
        default_pod_spec(child(template, "spec"))


def default_pod_spec(spec: Object) -> None:
    for key, value in SPEC.items():
        if spec.get(key) in (None, ""):
            spec[key] = value
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    # Both names of the account are always answered.
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in spec.get("volumes") or ():
        default_volume(volume)
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(key) or ():
            default_container(container)
    overhead = spec.get("overhead")
    if overhead:
        round_up(overhead)


def default_container(container: Object) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image") or "")
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    resources = child(container, "resources")
    for key in ("limits", "requests"):
        if resources.get(key):
            round_up(resources[key])
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in container.get("env") or ():
        source = variable.get("valueFrom")
        if source:
            if source.get("fieldRef") is not None:
                source["fieldRef"].setdefault("apiVersion", "v1")
            if source.get("resourceFieldRef") is not None:
                source["resourceFieldRef"].setdefault("divisor", "0")
            if source.get("fileKeyRef") is not None:
                source["fileKeyRef"].setdefault("optional", False)
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(key)
        if probe is not None:
            for name, value in PROBE:
                if not probe.get(name):
                    probe[name] = value
            _default_handler(probe)
    lifecycle = container.get("lifecycle")
    if lifecycle:
        for key in ("postStart", "preStop"):
            if lifecycle.get(key):
                _default_handler(lifecycle[key])


def _default_handler(handler: Object) -> None:
    http = handler.get("httpGet")
    if http is not None:
        if not http.get("path"):
            http["path"] = "/"
        if not http.get("scheme"):
            http["scheme"] = "HTTP"
    grpc = handler.get("grpc")
    if grpc is not None and grpc.get("service") is None:
        grpc["service"] = ""


def pull_policy(image: str) -> str:
    """Always for the tag "latest", written or meant; IfNotPresent for any other, and for a digest."""
    rest, _, digest = image.partition("@")
    tag = rest.rpartition("/")[2].partition(":")[2]
    if image and (tag == "latest" or not (tag or digest)) and rest == rest.lower():
        return "Always"
    return "IfNotPresent"


def default_volume(volume: Object) -> None:
    source = next((key for key, value in volume.items() if key != "name" and value is not None), None)
    if source is None:
        volume["emptyDir"] = {}
        return
    defaults = SOURCES.get(source)
    if defaults:
        fill(volume[source], defaults)
    if source == "projected":
        _default_projected(volume["projected"])
    elif source == "downwardAPI":
        _default_files(volume["downwardAPI"])
    elif source == "ephemeral":
        template = volume["ephemeral"].get("volumeClaimTemplate")
        if template and template.get("spec") is not None:
            fill(template["spec"], {"volumeMode": "Filesystem"})
    elif source == "image" and not volume["image"].get("pullPolicy"):
        volume["image"]["pullPolicy"] = pull_policy(volume["image"].get("reference") or "")


def _default_projected(projected: Object) -> None:
    for source in projected.get("sources") or ():
        token = source.get("serviceAccountToken")
        if token is not None and token.get("expirationSeconds") is None:
            token["expirationSeconds"] = TOKEN_SECONDS
        certificate = source.get("podCertificate")
        if certificate is not None and certificate.get("maxExpirationSeconds") is None:
            certificate["maxExpirationSeconds"] = 86400
        if source.get("downwardAPI") is not None:
            _default_files(source["downwardAPI"])


def _default_files(downward: Object) -> None:
    for file in downward.get("items") or ():
        if file.get("fieldRef") is not None:
            file["fieldRef"].setdefault("apiVersion", "v1")
        if file.get("resourceFieldRef") is not None:
            file["resourceFieldRef"].setdefault("divisor", "0")


def round_up(amounts: ResourceList) -> None:
    """Nothing finer than thousandths is kept."""
    for name, text in amounts.items():
        if isinstance(text, str) and text and text[-1] in "nu":
            amounts[name] = quantity.of_milli(parsed(text).milli).text


def _default_pod_resources(spec: Object) -> None:
    """Pod-level resources that follow from the containers', where the pod has some of its own."""
    resources: Object = spec["resources"]
    limits: ResourceList = resources.get("limits") or {}
    requests: ResourceList = resources.get("requests") or {}
    if not limits and not requests:
        return
    had_limits = any(is_pod_level(name) for name in limits)
    for name, amount in aggregate(spec, "limits").items():
        if is_hugepages(name) and is_pod_level(name) and name not in requests:
            limits.setdefault(name, amount.text)
    if limits:
        for name, amount in aggregate(spec, "requests").items():
            if is_pod_level(name) and is_overcommitted(name):
                requests.setdefault(name, amount.text)
        for name, text in limits.items():
            if is_pod_level(name):
                requests.setdefault(name, text)
    if requests and not had_limits and not limits:
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        for name, amount in aggregate(spec, "limits").items():
            everywhere = all(name in (each["resources"].get("limits") or {}) for each in containers)
            if is_pod_level(name) and is_overcommitted(name) and everywhere:
                limits[name] = amount.text
    for key, amounts in (("limits", limits), ("requests", requests)):
        if amounts:
            resources[key] = copied(amounts)
