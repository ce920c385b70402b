"""What is right in a pod's spec and in a pod's template.

Source: API reference PodSpec and PodTemplateSpec; documentation "Pods", "DNS for Services and Pods", "Pod Lifecycle",
"Assign Pod-level CPU and memory resources", "User Namespaces", "Dynamic Resource Allocation". Both a Pod and every
controller with a template call `validate_pod_spec`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.kinds.checking import Found
from boxship.cluster.objects.kinds.core_addresses import validate_address
from boxship.cluster.objects.kinds.core_containers import (
    Context,
    validate_containers,
    validate_ephemeral_containers,
    validate_init_containers,
)
from boxship.cluster.objects.kinds.core_placement import (
    validate_affinity,
    validate_gates,
    validate_spreading,
    validate_tolerations,
)
from boxship.cluster.objects.kinds.core_pod_annotations import (
    validate_annotations_match,
    validate_pod_annotations,
)
from boxship.cluster.objects.kinds.core_resources import aggregate, parsed, validate_requirements
from boxship.cluster.objects.kinds.core_security import (
    validate_host_process,
    validate_pod_security,
    validate_system,
)
from boxship.cluster.objects.kinds.core_volumes import validate_volumes
from boxship.cluster.objects.kinds.metadata import validate_annotations, validate_labels
from boxship.cluster.objects.quantity import Quantity

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PREEMPTIONS = ("PreemptLowerPriority", "Never")
LARGEST = 2**31 - 1
HOSTNAME_LENGTH = 64
NAMESERVERS_LIMIT = 3
SEARCHES_LIMIT = 32
SEARCH_LENGTH = 2048


def validate_pod_spec(found: Found, spec: Object, path: str, *, pod_name: str = "", is_pod: bool = False) -> None:
    """`pod_name`: of the real pod, if it is one."""
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is None:
        found.required(f"{path}.terminationGracePeriodSeconds")
    volumes = validate_volumes(found, spec.get("volumes") or (), f"{path}.volumes", pod_name=pod_name, is_pod=is_pod)
    claims = spec.get("resourceClaims") or ()
    if claims:
        _validate_claims(found, claims, f"{path}.resourceClaims")
    context = Context(
        volumes=volumes,
        claims={claim["name"] for claim in claims if claim.get("name")},
        restart_policy=spec.get("restartPolicy") or "",
        grace=grace,
        host_users=spec.get("hostUsers") is not False,
        system=(spec.get("os") or {}).get("name") or "",
    )
    containers = spec.get("containers") or ()
    starting = spec.get("initContainers") or ()
    validate_containers(found, containers, f"{path}.containers", context)
    if starting:
        validate_init_containers(found, starting, containers, f"{path}.initContainers", context)
    if spec.get("ephemeralContainers"):
        others = [*containers, *starting]
        at = f"{path}.ephemeralContainers"
        validate_ephemeral_containers(found, spec["ephemeralContainers"], others, at, context)
    if spec.get("resources"):
        _validate_pod_resources(found, spec, f"{path}.resources")
    if spec.get("hostNetwork"):
        _validate_host_network(found, containers, f"{path}.containers", is_pod)
    _choice(found, spec, "restartPolicy", RESTART_POLICIES, path)
    _choice(found, spec, "dnsPolicy", DNS_POLICIES, path)
    _validate_dns(found, spec, f"{path}.dnsConfig")
    _validate_placement(found, spec, path)
    _validate_access(found, spec, path)
    _validate_names(found, spec, path)


def _choice(found: Found, spec: Mapping[str, Any], key: str, choices: Sequence[str], path: str) -> None:
    value = spec.get(key)
    if not value:
        found.required(f"{path}.{key}")
    elif value not in choices:
        found.unsupported(f"{path}.{key}", value, choices)


def _validate_placement(found: Found, spec: Mapping[str, Any], path: str) -> None:
    if spec.get("nodeSelector"):
        validate_labels(found, spec["nodeSelector"], f"{path}.nodeSelector")
    if spec.get("affinity"):
        validate_affinity(found, spec["affinity"], f"{path}.affinity")
    if spec.get("schedulingGates"):
        validate_gates(found, spec["schedulingGates"], f"{path}.schedulingGates")
    if spec.get("topologySpreadConstraints"):
        validate_spreading(found, spec["topologySpreadConstraints"], f"{path}.topologySpreadConstraints")
    if spec.get("tolerations"):
        validate_tolerations(found, spec["tolerations"], f"{path}.tolerations")
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType") or ""
        found.because(f"{path}.readinessGates[{index}].conditionType", kind, names.qualified(kind))
    if spec.get("preemptionPolicy") is not None:
        _choice(found, spec, "preemptionPolicy", PREEMPTIONS, path)
    if spec.get("overhead"):
        validate_requirements(found, {"limits": spec["overhead"]}, f"{path}.overhead")


def _validate_access(found: Found, spec: Mapping[str, Any], path: str) -> None:
    context = spec.get("securityContext")
    if context:
        validate_pod_security(found, spec, context, f"{path}.securityContext")
        if context.get("windowsOptions"):
            validate_host_process(found, spec, path)
    elif any((each.get("securityContext") or {}).get("windowsOptions") for each in spec.get("containers") or ()):
        validate_host_process(found, spec, path)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        why = "ShareProcessNamespace and HostPID cannot both be enabled"
        found.invalid(f"{path}.securityContext.shareProcessNamespace", True, why)
    if spec.get("hostUsers") is False:
        for key, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if spec.get(key):
                found.forbidden(f"{path}.{shown}", "when `hostUsers` is false")
    if spec.get("os") is not None:
        validate_system(found, spec, path)


def _validate_names(found: Found, spec: Mapping[str, Any], path: str) -> None:
    for key, check in (
        ("serviceAccountName", names.subdomain),
        ("nodeName", names.subdomain),
        ("hostname", names.label),
        ("subdomain", names.label),
        ("priorityClassName", names.subdomain),
    ):
        value = spec.get(key)
        if value:
            found.because(f"{path}.{key}", value, check(value))
    for key in ("runtimeClassName", "hostnameOverride"):
        if spec.get(key) is not None:
            found.because(f"{path}.{key}", spec[key], names.subdomain(spec[key]))
    override = spec.get("hostnameOverride")
    if override is not None:
        if len(override) > HOSTNAME_LENGTH:
            found.invalid(f"{path}.hostnameOverride", override, names.too_long(HOSTNAME_LENGTH))
        for key in ("hostNetwork", "setHostnameAsFQDN"):
            if spec.get(key):
                found.forbidden(f"{path}.hostnameOverride", f"may not be set when `{key}` is true")
    group = spec.get("schedulingGroup")
    if group and group.get("podGroupName"):
        at = f"{path}.schedulingGroup.podGroupName"
        found.because(at, group["podGroupName"], names.subdomain(group["podGroupName"]))
    limit = spec.get("activeDeadlineSeconds")
    if limit is not None and not 1 <= limit <= LARGEST:
        found.invalid(f"{path}.activeDeadlineSeconds", limit, f"must be between 1 and {LARGEST}, inclusive")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        at = f"{path}.hostAliases[{index}]"
        validate_address(found, alias.get("ip") or "", f"{at}.ip")
        for place, name in enumerate(alias.get("hostnames") or ()):
            found.because(f"{at}.hostnames[{place}]", name, names.subdomain(name))


def _validate_claims(found: Found, claims: Sequence[Mapping[str, Any]], path: str) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        at = f"{path}[{index}]"
        name = claim.get("name") or ""
        if not name:
            found.required(f"{at}.name")
        elif name in seen:
            found.duplicate(f"{at}.name", name)
        else:
            found.because(f"{at}.name", name, names.label(name))
            seen.add(name)
        given = [key for key in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(key) is not None]
        if len(given) > 1:
            why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            found.invalid(at, claim, why)
        if not given:
            found.invalid(at, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")
        for key in given:
            found.because(f"{at}.{key}", claim[key], names.subdomain(claim[key]))


def _validate_pod_resources(found: Found, spec: Mapping[str, Any], path: str) -> None:
    resources = spec["resources"]
    validate_requirements(found, resources, path, pod_level=True)
    requests = resources.get("requests") or {}
    for name, amount in aggregate(spec, "requests").items():
        own = parsed(requests.get(name))
        if amount > own:
            why = f"must be greater than or equal to aggregate container requests of {amount.text}"
            found.invalid(f"{path}.requests[{name}]", own.text, why)
    limits: dict[str, Quantity] = {name: parsed(text) for name, text in (resources.get("limits") or {}).items()}
    for index, container in enumerate(spec.get("containers") or ()):
        for name, text in ((container.get("resources") or {}).get("limits") or {}).items():
            if name in limits and parsed(text) > limits[name]:
                why = f"must be less than or equal to pod limits of {limits[name].text}"
                found.invalid(f"{path}.containers[{index}][{name}].limits", parsed(text).text, why)


def _validate_host_network(found: Found, containers: Sequence[Mapping[str, Any]], path: str, is_pod: bool) -> None:
    for index, container in enumerate(containers):
        for place, port in enumerate(container.get("ports") or ()):
            host = port.get("hostPort") or 0
            if (is_pod or host) and host != (port.get("containerPort") or 0):
                at = f"{path}[{index}].ports[{place}].hostPort"
                found.invalid(at, host, "must match `containerPort` when `hostNetwork` is true")


def _validate_dns(found: Found, spec: Mapping[str, Any], path: str) -> None:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            found.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
        elif not config.get("nameservers"):
            why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            found.required(f"{path}.nameservers", why)
            return
    if not config:
        return
    servers, searches = config.get("nameservers") or (), config.get("searches") or ()
    if len(servers) > NAMESERVERS_LIMIT:
        found.invalid(f"{path}.nameservers", servers, f"must not have more than {NAMESERVERS_LIMIT} nameservers")
    for index, server in enumerate(servers):
        validate_address(found, server, f"{path}.nameservers[{index}]")
    if len(searches) > SEARCHES_LIMIT:
        found.invalid(f"{path}.searches", searches, f"must not have more than {SEARCHES_LIMIT} search paths")
    if len(" ".join(searches)) > SEARCH_LENGTH:
        why = f"must not have more than {SEARCH_LENGTH} characters (including spaces) in the search list"
        found.invalid(f"{path}.searches", searches, why)
    for index, search in enumerate(searches):
        if search != ".":
            plain = search.removesuffix(".")
            # An underscore is right here, though in no name of ours.
            found.because(f"{path}.searches[{index}]", plain, names.subdomain(plain.replace("_", "0")))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            found.required(f"{path}.options[{index}]", "must not be empty")


def validate_template(found: Found, template: Object, path: str) -> None:
    """The template of a controller's pods."""
    metadata = template.get("metadata") or {}
    labels, annotations = metadata.get("labels"), metadata.get("annotations")
    spec = template.get("spec") or {}
    if labels:
        validate_labels(found, labels, f"{path}.labels")
    if annotations:
        validate_annotations(found, annotations, f"{path}.annotations")
        validate_pod_annotations(found, annotations, spec, f"{path}.annotations")
    validate_pod_spec(found, spec, f"{path}.spec")
    if annotations:
        validate_annotations_match(found, annotations, spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        found.forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")
