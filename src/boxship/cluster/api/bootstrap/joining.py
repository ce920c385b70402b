"""What lets machines become nodes: the rights of those that show a bootstrap token, and of nodes among each other
(kubernetes.io, "TLS bootstrapping"; the names are kubeadm's), and the Service of the cluster's DNS. Pure.

Nodes may read more than the original's: proxy, policies, DNS and ingress are the node's own parts here, with its name.
Of pods that are not theirs they see what `objects/pod_addresses` leaves of them.
"""

import ipaddress
from collections.abc import Mapping

from boxship.cluster.api.bootstrap.objects import Site, dns_of
from boxship.cluster.api.bootstrap.writing import (
    RuleObject,
    account,
    bound,
    bound_in,
    cluster_role,
    group,
    may,
    role,
    user,
)
from boxship.cluster.objects import Object

TOKEN_GROUP = "system:bootstrappers:kubeadm:default-node-token"
NODES = "system:nodes"
REQUESTS = "system:certificates.k8s.io:certificatesigningrequests"
DNS = "kube-dns"
ON_EVERY_NODE = "boxship.io/served-on-node"  # annotation: each node answers at the address itself, nothing to balance

ROLES: tuple[Object, ...] = (
    cluster_role("kubeadm:get-nodes", may("get", "", "nodes")),
    cluster_role(
        "system:boxship:node-network",
        may("get", "", "nodes/images"),  # of other nodes, what was built there
        may("list watch", "", "services endpoints nodes namespaces"),
        may("get list watch", "node.boxship.io", "podaddresses"),
        may("list watch", "discovery.k8s.io", "endpointslices"),
        may("list watch", "networking.k8s.io", "networkpolicies servicecidrs ingresses ingressclasses"),
    ),
)

# Rules that earlier versions gave and that are taken back where they stand.
TAKEN_BACK: Mapping[str, tuple[RuleObject, ...]] = {
    "system:boxship:node-network": (may("list watch", "", "services endpoints nodes namespaces pods"),),
}

IN_NAMESPACES: tuple[Object, ...] = (
    role("kube-public", "kubeadm:bootstrap-signer-clusterinfo", may("get", "", "configmaps", "cluster-info")),
)

CLUSTER_BINDINGS: tuple[Object, ...] = (
    bound("kubeadm:kubelet-bootstrap", group(TOKEN_GROUP), to="system:node-bootstrapper"),
    bound("kubeadm:node-autoapprove-bootstrap", group(TOKEN_GROUP), to=f"{REQUESTS}:nodeclient"),
    bound("kubeadm:node-autoapprove-certificate-rotation", group(NODES), to=f"{REQUESTS}:selfnodeclient"),
    bound(
        "boxship:kubelet-serving-approval",
        account("certificate-controller"),
        to="system:certificates.k8s.io:kubelet-serving-approver",
    ),
    bound("kubeadm:get-nodes", group(TOKEN_GROUP)),
    bound("system:boxship:node-network", group(NODES)),
)

NAMESPACE_BINDINGS: tuple[Object, ...] = (
    bound_in("kube-public", "kubeadm:bootstrap-signer-clusterinfo", user("system:anonymous")),
)


def dns_service(site: Site) -> list[Object]:
    """None where the range is too small for it. Nothing is selected: every node answers at this address."""
    address = dns_of(site)
    if not address:
        return []
    ports = [("dns", "UDP", 53), ("dns-tcp", "TCP", 53)]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": DNS,
                "namespace": "kube-system",
                "labels": {"k8s-app": DNS, "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"},
                "annotations": {ON_EVERY_NODE: "true"},
            },
            "spec": {
                "type": "ClusterIP",
                "clusterIP": address,
                "clusterIPs": [address],
                "ipFamilyPolicy": "SingleStack",
                "ipFamilies": [f"IPv{ipaddress.ip_address(address).version}"],
                "sessionAffinity": "None",
                "ports": [
                    {"name": name, "protocol": protocol, "port": port, "targetPort": port}
                    for name, protocol, port in ports
                ],
            },
        }
    ]
