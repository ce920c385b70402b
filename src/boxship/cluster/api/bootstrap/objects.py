"""Namespaces, the `kubernetes` Service with its endpoints, priority classes and the config maps that tell other parts
whom to trust: what a new cluster consists of besides its roles. Pure functions of where the API stands."""

import ipaddress
import json
from collections.abc import Sequence
from typing import Any

import msgspec

from boxship.cluster.objects import Object

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
SERVICE = "kubernetes"
DNS_INDEX = 10  # which address of the services' range the cluster's DNS has
LABELS = {"component": "apiserver", "provider": "kubernetes"}
SLICE_LABELS = {"kubernetes.io/service-name": SERVICE}
CIDR_FINALIZER = "networking.k8s.io/service-cidr-finalizer"
PRIORITIES = {
    "system-node-critical": (
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    "system-cluster-critical": (
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
}


class Site(msgspec.Struct, frozen=True):
    """Where this API server stands: `address` and `port` as pods reach it, `server` the URL for people."""

    address: str
    port: int
    server: str
    service_cidrs: tuple[str, ...]
    authority: bytes  # PEM
    front_proxy_authority: bytes  # PEM
    pod_cidrs: tuple[str, ...] = ("10.244.0.0/16",)
    domain: str = "cluster.local"


def namespaces() -> list[Object]:
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES]


def priority_classes() -> list[Object]:
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": description,
            "preemptionPolicy": "PreemptLowerPriority",
        }
        for name, (value, description) in PRIORITIES.items()
    ]


def storage_class() -> Object:
    """The default class: folders of the node where the first pod that uses a claim runs."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "boxship.io/local",
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }


def ingress_class() -> Object:
    """Ours, which Ingresses without a class have."""
    annotations = {"ingressclass.kubernetes.io/is-default-class": "true"}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": "boxship", "annotations": annotations},
        "spec": {"controller": "boxship.io/ingress"},
    }


def service_cidr(site: Site) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": SERVICE, "finalizers": [CIDR_FINALIZER]},
        "spec": {"cidrs": list(site.service_cidrs)},
    }


def ready_condition(now: str) -> Object:
    """The status of the service range."""
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "",
        "message": "Kubernetes Service CIDR is ready",
        "lastTransitionTime": now,
    }
    return {"conditions": [condition]}


def service(site: Site) -> Object:
    address = str(ipaddress.ip_network(site.service_cidrs[0])[1])
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SERVICE, "namespace": "default", "labels": LABELS},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilyPolicy": "SingleStack",
            "ipFamilies": [_family(address)],
            "sessionAffinity": "None",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": site.port}],
        },
    }


def endpoints(addresses: Sequence[str], port: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": SERVICE,
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [
            {
                "addresses": [{"ip": address} for address in addresses],
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            }
        ],
    }


def endpoint_slice(addresses: Sequence[str], port: int) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": SERVICE, "namespace": "default", "labels": SLICE_LABELS},
        "addressType": _family(addresses[0]),
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }


def addresses_of(endpoint_slice: Object) -> list[str]:
    return [address for endpoint in endpoint_slice.get("endpoints") or () for address in endpoint["addresses"]]


def extension_authentication(site: Site) -> Object:
    """How servers behind the aggregation layer know who asks."""
    data = {
        "client-ca-file": site.authority.decode(),
        "requestheader-allowed-names": json.dumps(["front-proxy-client"]),
        "requestheader-client-ca-file": site.front_proxy_authority.decode(),
        "requestheader-extra-headers-prefix": json.dumps(["X-Remote-Extra-"]),
        "requestheader-group-headers": json.dumps(["X-Remote-Group"]),
        "requestheader-uid-headers": json.dumps(["X-Remote-Uid"]),
        "requestheader-username-headers": json.dumps(["X-Remote-User"]),
    }
    return _config_map("kube-system", "extension-apiserver-authentication", data)


def cluster_info(site: Site) -> Object:
    """Where the API is and how it is known, and which addresses the cluster has, for machines that join."""
    authority = msgspec.json.encode(site.authority).decode().strip('"')  # base64
    text = (
        "apiVersion: v1\nclusters:\n- cluster:\n"
        f"    certificate-authority-data: {authority}\n    server: {site.server}\n"
        '  name: ""\ncontexts: null\ncurrent-context: ""\nkind: Config\npreferences: {}\nusers: null\n'
    )
    addresses = {"pods": site.pod_cidrs, "services": site.service_cidrs, "dns": dns_of(site), "domain": site.domain}
    return _config_map(
        "kube-public", "cluster-info", {"kubeconfig": text, "network.json": msgspec.json.encode(addresses).decode()}
    )


def dns_of(site: Site) -> str:
    """The address of the cluster's DNS; "" where the range is too small for it."""
    network = ipaddress.ip_network(site.service_cidrs[0])
    return str(network[DNS_INDEX]) if network.num_addresses > DNS_INDEX + 1 else ""


def _config_map(namespace: str, name: str, data: dict[str, Any]) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _family(address: str) -> str:
    return f"IPv{ipaddress.ip_address(address).version}"
