"""A role for each controller, bound to its own service account in kube-system, so that none can do more than its work
(read back from a stock 1.36 server). Controllers that come with later parts have theirs already, as the original does.
"""

from boxship.cluster.api.bootstrap.writing import EVENTS, READ, RuleObject, account, bound, cluster_role, may
from boxship.cluster.objects import Object

PODS = may("create delete list patch watch", "", "pods")
REVISIONS = may("create delete get list patch update watch", "apps", "controllerrevisions")

RULES: dict[str, tuple[RuleObject, ...]] = {
    "attachdetach-controller": (
        may("list watch", "", "persistentvolumes persistentvolumeclaims pods"),
        may(READ, "", "nodes"),
        may("patch update", "", "nodes/status"),
        EVENTS,
        may("create delete get list patch update watch", "storage.k8s.io", "volumeattachments"),
        may(READ, "storage.k8s.io", "csidrivers csinodes"),
    ),
    "clusterrole-aggregation-controller": (
        may("escalate get list patch update watch", "rbac.authorization.k8s.io", "clusterroles"),
    ),
    "cronjob-controller": (
        may("get list update watch", "batch", "cronjobs"),
        may("create delete get list patch update watch", "batch", "jobs"),
        may("update", "batch", "cronjobs/status cronjobs/finalizers"),
        may("delete list", "", "pods"),
        EVENTS,
    ),
    "daemon-set-controller": (
        may(READ, "apps", "daemonsets"),
        may("update", "apps", "daemonsets/status daemonsets/finalizers"),
        may("list watch", "", "nodes"),
        PODS,
        may("create", "", "pods/binding"),
        REVISIONS,
        EVENTS,
    ),
    "deployment-controller": (
        may("get list update watch", "apps", "deployments"),
        may("update", "apps", "deployments/status deployments/finalizers"),
        may("create delete get list patch update watch", "apps", "replicasets"),
        may("get list update watch", "", "pods"),
        EVENTS,
    ),
    "disruption-controller": (
        may(READ, "apps", "deployments replicasets statefulsets"),
        may(READ, "", "replicationcontrollers pods"),
        may(READ, "policy", "poddisruptionbudgets"),
        may("update", "policy", "poddisruptionbudgets/status"),
        may("patch update", "", "pods/status"),
        EVENTS,
        may("get", "*", "*/scale"),
    ),
    "endpoint-controller": (
        may(READ, "", "services pods"),
        may("create delete get list update", "", "endpoints"),
        may("create", "", "endpoints/restricted"),
        EVENTS,
    ),
    "endpointslice-controller": (
        may(READ, "", "services pods nodes"),
        may("update", "", "services/finalizers"),
        may("create delete get list update watch", "discovery.k8s.io", "endpointslices"),
        EVENTS,
    ),
    "endpointslicemirroring-controller": (
        may(READ, "", "services endpoints"),
        may("update", "", "services/finalizers endpoints/finalizers"),
        may("create delete get list update watch", "discovery.k8s.io", "endpointslices"),
        EVENTS,
    ),
    "ephemeral-volume-controller": (
        may("update", "", "pods/finalizers"),
        may(READ, "", "pods"),
        may("create get list watch", "", "persistentvolumeclaims"),
        EVENTS,
    ),
    "event-ttl-controller": (may("delete get list", "", "events"),),  # the original leaves it to etcd's leases
    "expand-controller": (
        may("get list patch update watch", "", "persistentvolumes"),
        may("patch update", "", "persistentvolumeclaims/status"),
        may(READ, "", "persistentvolumeclaims"),
        may(READ, "storage.k8s.io", "storageclasses"),
        EVENTS,
    ),
    "flowschema-status-controller": (  # the original does it as its API server
        may("patch update", "flowcontrol.apiserver.k8s.io", "flowschemas/status"),
    ),
    "generic-garbage-collector": (may("delete get list patch update watch", "*", "*"), EVENTS),
    "horizontal-pod-autoscaler": (
        may(READ, "autoscaling", "horizontalpodautoscalers"),
        may("update", "autoscaling", "horizontalpodautoscalers/status"),
        may("get update", "*", "*/scale"),
        may("list", "", "pods"),
        may("list", "metrics.k8s.io", "pods"),
        may("get list", "custom.metrics.k8s.io external.metrics.k8s.io", "*"),
        EVENTS,
    ),
    "ingress-controller": (  # the original has none
        may(READ, "networking.k8s.io", "ingresses ingressclasses"),
        may("patch update", "networking.k8s.io", "ingresses/status"),
        may("get update", "", "secrets", "boxship-ingress"),
        may("create", "", "secrets"),
        EVENTS,
    ),
    "job-controller": (
        may("get list patch update watch", "batch", "jobs"),
        may("update", "batch", "jobs/status jobs/finalizers"),
        PODS,
        EVENTS,
    ),
    "legacy-service-account-token-cleaner": (
        may("get", "", "configmaps", "kube-apiserver-legacy-service-account-token-tracking"),
        may("delete patch", "", "secrets"),
    ),
    "namespace-controller": (
        may("delete get list watch", "", "namespaces"),
        may("update", "", "namespaces/finalize namespaces/status"),
        may("delete deletecollection get list", "*", "*"),
    ),
    "node-controller": (
        may("delete get list patch update", "", "nodes"),
        may("patch update", "", "nodes/status"),
        may("patch update", "", "pods/status"),
        may("delete get list", "", "pods"),
        EVENTS,
        may("get", "", "pods"),
    ),
    "local-volume-provisioner": (
        may("create get list update watch", "", "persistentvolumes"),
        may("get list update watch", "", "persistentvolumeclaims"),
        may(READ, "", "nodes"),
        may(READ, "storage.k8s.io", "storageclasses"),
        EVENTS,
    ),
    "persistent-volume-binder": (
        may("create delete get list update watch", "", "persistentvolumes"),
        may("update", "", "persistentvolumes/status persistentvolumeclaims/status"),
        may("get list update watch", "", "persistentvolumeclaims"),
        may("create delete get list watch", "", "pods"),
        may(READ, "storage.k8s.io", "storageclasses"),
        may("create delete get update", "", "endpoints services"),
        may("get list", "", "secrets"),
        may("get list watch", "", "nodes"),
        EVENTS,
    ),
    "pod-garbage-collector": (
        may("delete list watch", "", "pods"),
        may("get list", "", "nodes"),
        may("patch update", "", "pods/status"),
    ),
    "pv-protection-controller": (may("get list update watch", "", "persistentvolumes"), EVENTS),
    "pvc-protection-controller": (
        may("get list update watch", "", "persistentvolumeclaims"),
        may(READ, "", "pods"),
        EVENTS,
    ),
    "replicaset-controller": (
        may("get list update watch", "apps", "replicasets"),
        may("update", "apps", "replicasets/status replicasets/finalizers"),
        PODS,
        EVENTS,
    ),
    "replication-controller": (
        may("get list update watch", "", "replicationcontrollers"),
        may("update", "", "replicationcontrollers/status replicationcontrollers/finalizers"),
        PODS,
        EVENTS,
    ),
    "resourcequota-controller": (
        may("list watch", "*", "*"),
        may("update", "", "resourcequotas/status"),
        EVENTS,
    ),
    "resource-claim-controller": (
        may("update", "", "pods/finalizers"),
        may(READ, "", "pods"),
        may("patch", "", "pods/status"),
        may("create delete get list watch", "resource.k8s.io", "resourceclaims"),
        may("patch update", "resource.k8s.io", "resourceclaims resourceclaims/status"),
        EVENTS,
    ),
    "root-ca-cert-publisher": (may("create update", "", "configmaps"), EVENTS),
    "route-controller": (may("list watch", "", "nodes"), may("patch", "", "nodes/status"), EVENTS),
    "service-account-controller": (may("create", "", "serviceaccounts"), EVENTS),
    "service-cidrs-controller": (
        may("get list patch update watch", "networking.k8s.io", "servicecidrs"),
        may("patch update", "networking.k8s.io", "servicecidrs/finalizers servicecidrs/status"),
        may(READ, "networking.k8s.io", "ipaddresses"),
        EVENTS,
    ),
    "service-controller": (
        may(READ, "", "services"),
        may("patch update", "", "services/status"),
        may("list watch", "", "nodes"),
        EVENTS,
    ),
    "selinux-warning-controller": (
        may(READ, "", "persistentvolumes persistentvolumeclaims pods"),
        may(READ, "storage.k8s.io", "csidrivers"),
        EVENTS,
    ),
    "statefulset-controller": (
        may("list watch", "", "pods"),
        may(READ, "apps", "statefulsets"),
        may("update", "apps", "statefulsets/status statefulsets/finalizers"),
        may("create delete get patch update", "", "pods"),
        REVISIONS,
        may("create delete get list patch update watch", "", "persistentvolumeclaims"),
        EVENTS,
    ),
    "ttl-after-finished-controller": (may("delete get list watch", "batch", "jobs"), EVENTS),
    "ttl-controller": (may("list patch update watch", "", "nodes"), EVENTS),
    "vac-protection-controller": (
        may("get list update watch", "storage.k8s.io", "volumeattributesclasses"),
        may(READ, "", "persistentvolumeclaims persistentvolumes"),
        EVENTS,
    ),
    "validatingadmissionpolicy-status-controller": (
        may(READ, "admissionregistration.k8s.io", "validatingadmissionpolicies"),
        may("get patch update", "admissionregistration.k8s.io", "validatingadmissionpolicies/status"),
        EVENTS,
    ),
    "certificate-controller": (
        may("delete get list watch", "certificates.k8s.io", "certificatesigningrequests"),
        may("update", "certificates.k8s.io", "certificatesigningrequests/approval certificatesigningrequests/status"),
        may(
            "approve",
            "certificates.k8s.io",
            "signers",
            "kubernetes.io/kube-apiserver-client-kubelet",
        ),
        may(
            "sign",
            "certificates.k8s.io",
            "signers",
            "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet "
            "kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown",
        ),
        may("create", "authorization.k8s.io", "subjectaccessreviews"),
        EVENTS,
    ),
}

ROLES: tuple[Object, ...] = tuple(cluster_role(f"system:controller:{name}", *rules) for name, rules in RULES.items())
BINDINGS: tuple[Object, ...] = tuple(bound(f"system:controller:{name}", account(name)) for name in RULES)
