"""The roles that every cluster has, with those who have them (kubernetes.io, "Default roles and role bindings"; read
back from a stock 1.36 server). `extensions`, a group that is no longer served, is left out."""

from boxship.cluster.api.bootstrap.writing import (
    EVENTS,
    READ,
    READ_WRITE,
    WRITE,
    account,
    bound,
    bound_in,
    cluster_role,
    group,
    may,
    may_get,
    role,
    user,
)
from boxship.cluster.objects import Object

TO_ADMIN, TO_EDIT, TO_VIEW = (f"rbac.authorization.k8s.io/aggregate-to-{name}" for name in ("admin", "edit", "view"))
HEALTH = ("/livez", "/readyz", "/healthz", "/version", "/version/")
SCHEDULER, CONTROLLERS = "system:kube-scheduler", "system:kube-controller-manager"
EVERYBODY, NOBODY = group("system:authenticated"), group("system:unauthenticated")
SIGNERS = ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
OPENID = "/.well-known/openid-configuration"
EXTENSION = "extension-apiserver-authentication"

PEOPLE: tuple[Object, ...] = (
    cluster_role("cluster-admin", may("*", "*", "*"), {"verbs": ["*"], "nonResourceURLs": ["*"]}),
    cluster_role("admin", gathers=TO_ADMIN),
    cluster_role("edit", gathers=TO_EDIT, labels={TO_ADMIN: "true"}),
    cluster_role("view", gathers=TO_VIEW, labels={TO_EDIT: "true"}),
    cluster_role(
        "system:aggregated-metrics-reader",
        may("get list watch", "metrics.k8s.io", "pods nodes"),
        labels={TO_ADMIN: "true", TO_EDIT: "true", TO_VIEW: "true"},
    ),
    cluster_role(
        "system:aggregate-to-admin",
        may("create", "authorization.k8s.io", "localsubjectaccessreviews"),
        may(READ_WRITE, "rbac.authorization.k8s.io", "roles rolebindings"),
        labels={TO_ADMIN: "true"},
    ),
    cluster_role(
        "system:aggregate-to-edit",
        may(READ, "", "pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy"),
        may("impersonate", "", "serviceaccounts"),
        may(WRITE, "", "pods pods/attach pods/proxy pods/exec pods/portforward"),
        may("create", "", "pods/eviction"),
        may(
            WRITE,
            "",
            "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy "
            "persistentvolumeclaims configmaps secrets events",
        ),
        may("create", "", "serviceaccounts/token"),
        may(
            WRITE,
            "apps",
            "statefulsets statefulsets/scale daemonsets deployments deployments/scale deployments/rollback "
            "replicasets replicasets/scale",
        ),
        may(WRITE, "autoscaling", "horizontalpodautoscalers"),
        may(WRITE, "batch", "jobs cronjobs"),
        may(WRITE, "policy", "poddisruptionbudgets"),
        may(WRITE, "networking.k8s.io", "networkpolicies ingresses"),
        may(READ_WRITE, "coordination.k8s.io", "leases"),
        may(WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
        labels={TO_EDIT: "true"},
    ),
    cluster_role(
        "system:aggregate-to-view",
        may(
            READ,
            "",
            "pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status "
            "endpoints persistentvolumeclaims persistentvolumeclaims/status configmaps",
        ),
        may(
            READ,
            "",
            "limitranges resourcequotas bindings events pods/status resourcequotas/status namespaces/status "
            "replicationcontrollers/status pods/log",
        ),
        may(READ, "", "namespaces"),
        may(READ, "discovery.k8s.io", "endpointslices"),
        may(
            READ,
            "apps",
            "controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets daemonsets/status "
            "deployments deployments/status deployments/scale replicasets replicasets/status replicasets/scale",
        ),
        may(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
        may(READ, "batch", "jobs cronjobs cronjobs/status jobs/status"),
        may(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
        may(READ, "networking.k8s.io", "networkpolicies ingresses ingresses/status"),
        may(READ, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
        labels={TO_VIEW: "true"},
    ),
    cluster_role(
        "system:discovery",
        may_get(*HEALTH, "/openapi", "/openapi/*", "/api", "/api/*", "/apis", "/apis/*"),
    ),
    cluster_role("system:public-info-viewer", may_get(*HEALTH)),
    cluster_role(
        "system:monitoring",
        may_get(
            "/healthz",
            "/healthz/*",
            "/livez",
            "/livez/*",
            "/readyz",
            "/readyz/*",
            "/metrics",
            "/metrics/slis",
        ),
    ),
    cluster_role(
        "system:basic-user",
        may("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        may("create", "authentication.k8s.io", "selfsubjectreviews"),
    ),
    cluster_role(
        "system:service-account-issuer-discovery",
        may_get(OPENID, f"{OPENID}/", "/openid/v1/jwks", "/openid/v1/jwks/"),
    ),
)

PARTS: tuple[Object, ...] = (
    cluster_role(
        "system:node",
        may("create", "authentication.k8s.io", "tokenreviews"),
        may("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
        may(READ, "", "services"),
        may("create get list watch", "", "nodes"),
        may("patch update", "", "nodes/status"),
        may("patch update", "", "nodes"),
        EVENTS,
        may(READ, "", "pods"),
        may("create delete", "", "pods"),
        may("patch update", "", "pods/status"),
        may("create", "", "pods/eviction"),
        may(READ, "", "configmaps secrets"),
        may("get", "", "persistentvolumeclaims persistentvolumes"),
        may("get", "", "endpoints"),
        may("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
        may("create delete get patch update", "coordination.k8s.io", "leases"),
        may("get", "storage.k8s.io", "volumeattachments"),
        may("create", "", "serviceaccounts/token"),
        may("get patch update", "", "persistentvolumeclaims/status"),
        may(READ, "storage.k8s.io", "csidrivers"),
        may("create delete get patch update", "storage.k8s.io", "csinodes"),
        may(READ, "node.k8s.io", "runtimeclasses"),
        may("get", "resource.k8s.io", "resourceclaims"),
        may("deletecollection", "resource.k8s.io", "resourceslices"),
    ),
    cluster_role("system:node-problem-detector", may("get", "", "nodes"), may("patch", "", "nodes/status"), EVENTS),
    cluster_role(
        "system:node-proxier",
        may("list watch", "", "services endpoints"),
        may(READ, "", "nodes"),
        EVENTS,
        may("list watch", "discovery.k8s.io", "endpointslices"),
        may("list watch", "networking.k8s.io", "servicecidrs"),
    ),
    cluster_role(
        "system:kubelet-api-admin",
        may(READ, "", "nodes"),
        may("proxy", "", "nodes"),
        may(
            "*",
            "",
            "nodes/checkpoint nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/spec "
            "nodes/stats",
        ),
    ),
    cluster_role(
        "system:node-bootstrapper", may("create get list watch", "certificates.k8s.io", "certificatesigningrequests")
    ),
    cluster_role(
        "system:auth-delegator",
        may("create", "authentication.k8s.io", "tokenreviews"),
        may("create", "authorization.k8s.io", "subjectaccessreviews"),
    ),
    cluster_role("system:kube-aggregator", may(READ, "", "services endpoints")),
    cluster_role(
        CONTROLLERS,
        EVENTS,
        may("create", "coordination.k8s.io", "leases"),
        may("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
        may("create", "", "secrets serviceaccounts"),
        may("delete", "", "secrets"),
        may("get", "", "namespaces secrets serviceaccounts configmaps"),
        may("update", "", "secrets serviceaccounts"),
        may("create", "authentication.k8s.io", "tokenreviews"),
        may("create", "authorization.k8s.io", "subjectaccessreviews"),
        may("list watch", "*", "*"),
        may("create", "", "serviceaccounts/token"),
    ),
    cluster_role(
        SCHEDULER,
        EVENTS,
        may("create", "coordination.k8s.io", "leases"),
        may("get list update watch", "coordination.k8s.io", "leases", "kube-scheduler"),
        may(READ, "", "nodes namespaces"),
        may("delete get list watch", "", "pods"),
        may("create", "", "bindings pods/binding"),
        may("patch update", "", "pods/status"),
        may(READ, "", "replicationcontrollers services"),
        may(READ, "apps", "replicasets statefulsets"),
        may(READ, "policy", "poddisruptionbudgets"),
        may(READ, "", "persistentvolumeclaims persistentvolumes"),
        may("create", "authentication.k8s.io", "tokenreviews"),
        may("create", "authorization.k8s.io", "subjectaccessreviews"),
        may(READ, "storage.k8s.io", "csinodes csidrivers csistoragecapacities volumeattachments storageclasses"),
        may(READ, "resource.k8s.io", "deviceclasses resourceslices"),
        may("get list watch", "resource.k8s.io", "resourceclaims"),
        may("patch update", "resource.k8s.io", "resourceclaims resourceclaims/status"),
    ),
    cluster_role(
        "system:volume-scheduler",
        may("get list patch update watch", "", "persistentvolumes"),
        may(READ, "storage.k8s.io", "storageclasses"),
        may("get list patch update watch", "", "persistentvolumeclaims"),
    ),
    cluster_role("system:kube-dns", may("list watch", "", "endpoints services")),
    cluster_role(
        "system:persistent-volume-provisioner",
        may("create delete get list watch", "", "persistentvolumes"),
        may("get list update watch", "", "persistentvolumeclaims"),
        may(READ, "storage.k8s.io", "storageclasses"),
        may("watch", "", "events"),
        EVENTS,
    ),
    cluster_role(
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        may("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient"),
    ),
    cluster_role(
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        may("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient"),
    ),
    *(
        cluster_role(
            f"system:certificates.k8s.io:{signer}-approver",
            may("approve", "certificates.k8s.io", "signers", f"kubernetes.io/{signer}"),
        )
        for signer in SIGNERS
    ),
)

IN_NAMESPACES: tuple[Object, ...] = (
    role("kube-system", f"{EXTENSION}-reader", may(READ, "", "configmaps", EXTENSION)),
    role("kube-system", "system:controller:bootstrap-signer", may(READ, "", "secrets")),
    role("kube-system", "system:controller:token-cleaner", may("delete get list watch", "", "secrets"), EVENTS),
    *(
        role(
            "kube-system",
            f"system::leader-locking-{name}",
            may("watch", "", "configmaps"),
            may("get update", "", "configmaps", name),
        )
        for name in ("kube-controller-manager", "kube-scheduler")
    ),
    role(
        "kube-public",
        "system:controller:bootstrap-signer",
        may(READ, "", "configmaps"),
        may("update", "", "configmaps", "cluster-info"),
        EVENTS,
    ),
)

CLUSTER_BINDINGS: tuple[Object, ...] = (
    bound("cluster-admin", group("system:masters")),
    bound("system:monitoring", group("system:monitoring")),
    bound("system:discovery", EVERYBODY),
    bound("system:basic-user", EVERYBODY),
    bound("system:public-info-viewer", EVERYBODY, NOBODY),
    bound("system:node-proxier", user("system:kube-proxy")),
    bound(CONTROLLERS, user(CONTROLLERS)),
    bound("system:kube-dns", account("kube-dns")),
    bound(SCHEDULER, user(SCHEDULER)),
    bound("system:volume-scheduler", user(SCHEDULER)),
    bound("system:node"),
    bound("system:service-account-issuer-discovery", group("system:serviceaccounts")),
)

NAMESPACE_BINDINGS: tuple[Object, ...] = (
    bound_in(
        "kube-system",
        f"system::{EXTENSION}-reader",
        user(CONTROLLERS),
        user(SCHEDULER),
        to=f"{EXTENSION}-reader",
    ),
    bound_in(
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        user(CONTROLLERS),
        account("kube-controller-manager"),
    ),
    bound_in("kube-system", "system::leader-locking-kube-scheduler", user(SCHEDULER), account("kube-scheduler")),
    bound_in("kube-system", "system:controller:bootstrap-signer", account("bootstrap-signer")),
    bound_in("kube-system", "system:controller:token-cleaner", account("token-cleaner")),
    bound_in("kube-public", "system:controller:bootstrap-signer", account("bootstrap-signer")),
)
