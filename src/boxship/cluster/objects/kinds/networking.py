"""The rules of networking.k8s.io: Ingress and IngressClass here, the others in files of their own.

Source: pkg/apis/networking (defaults, validation), documentation "Ingress". Which class an Ingress gets that names none
is admission's to say.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found, immutable, kept
from boxship.cluster.objects.kinds.comparing import take_spec_back
from boxship.cluster.objects.kinds.core_addresses import parse_address, validate_address
from boxship.cluster.objects.kinds.networking_addresses import ADDRESS, SERVICE_RANGE
from boxship.cluster.objects.kinds.networking_policies import POLICY
from boxship.cluster.objects.rules import Rules

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
NOT_AN_ADDRESS = "must be a DNS name, not an IP address"
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
NOT_IN_PATHS = ("//", "/./", "/../", "%2f", "%2F")
NOT_AT_ENDS = ("/..", "/.")
CONTROLLER_LIMIT_BYTES = 250
Item = Mapping[str, Any]


def _validate_reference(found: Found, reference: Item, path: str) -> None:
    """An object in the same namespace, of any kind."""
    group = reference.get("apiGroup")
    if group is not None:
        found.because(f"{path}.apiGroup", group, names.subdomain(group))
    for key in ("kind", "name"):
        value = reference.get(key)
        if value:
            found.because(f"{path}.{key}", value, names.path_segment(value))
        else:
            found.required(f"{path}.{key}")


def _validate_backend(found: Found, backend: Item, path: str) -> None:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        found.invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        _validate_reference(found, resource, f"{path}.resource")
    elif service is None:
        found.invalid(path, "", "resource or service backend is required")
    else:
        name = service.get("name")
        if name:
            found.because(f"{path}.service.name", name, names.label(name))
        else:
            found.required(f"{path}.service.name")
        port = service.get("port") or {}
        if port.get("name") and port.get("number"):
            found.invalid(path, "", "cannot set both port name & port number")
        elif port.get("name"):
            found.because(f"{path}.service.port.name", port["name"], names.port_name(port["name"]))
        elif port.get("number"):
            found.because(f"{path}.service.port.number", port["number"], names.port(port["number"]))
        else:
            found.required(path, "port name or number is required")


def _validate_path(found: Found, entry: Item, path: str) -> None:
    kind, value = entry.get("pathType"), entry.get("path") or ""
    if kind is None:
        found.required(f"{path}.pathType", "pathType must be specified")
        return
    if kind not in PATH_TYPES:
        found.unsupported(f"{path}.pathType", kind, PATH_TYPES)
    elif not value.startswith("/") and (value or kind != "ImplementationSpecific"):
        found.invalid(f"{path}.path", value, "must be an absolute path")
    if kind in ("Exact", "Prefix"):
        for part in NOT_IN_PATHS:
            if part in value:
                found.invalid(f"{path}.path", value, f"must not contain '{part}'")
        for end in NOT_AT_ENDS:
            if value.endswith(end):
                found.invalid(f"{path}.path", value, f"cannot end with '{end}'")
    _validate_backend(found, entry.get("backend") or {}, f"{path}.backend")


def _validate_host(found: Found, host: str, path: str, *, address: bool) -> None:
    if address and parse_address(host) is not None:
        found.invalid(path, host, NOT_AN_ADDRESS)
    found.because(path, host, names.wildcard(host) if "*" in host else names.subdomain(host))


def _validate_rules(found: Found, rules: Sequence[Item]) -> None:
    for index, rule in enumerate(rules):
        path = f"spec.rules[{index}]"
        if rule.get("host"):
            _validate_host(found, rule["host"], f"{path}.host", address=True)
        http = rule.get("http")
        if http is None:
            continue
        if not http.get("paths"):
            found.required(f"{path}.http.paths")
        for number, entry in enumerate(http.get("paths") or ()):
            _validate_path(found, entry, f"{path}.http.paths[{number}]")


def _validate(ingress: Object) -> Sequence[Cause]:
    found = Found()
    spec = ingress.get("spec", {})
    rules, backend = spec.get("rules") or (), spec.get("defaultBackend")
    if not rules and backend is None:
        found.invalid("spec", None, "either `defaultBackend` or `rules` must be specified")
    if backend is not None:
        _validate_backend(found, backend, "spec.defaultBackend")
    _validate_rules(found, rules)
    for index, entry in enumerate(spec.get("tls") or ()):
        for number, host in enumerate(entry.get("hosts") or ()):
            _validate_host(found, host, f"spec.tls[{index}].hosts[{number}]", address=False)
        secret = entry.get("secretName")
        if secret:
            found.because(f"spec.tls[{index}].secretName", secret, names.subdomain(secret))
    chosen = spec.get("ingressClassName")
    if chosen is not None:
        found.because("spec.ingressClassName", chosen, names.subdomain(chosen))
    return found.causes


def _validate_create(ingress: Object) -> Sequence[Cause]:
    found = Found()
    chosen = ingress.get("spec", {}).get("ingressClassName")
    mark = (ingress.get("metadata", {}).get("annotations") or {}).get(CLASS_ANNOTATION)
    if mark is not None and chosen is not None and mark != chosen:
        detail = "must match `ingressClassName` when both are specified"
        found.invalid(f"annotations.{CLASS_ANNOTATION}", mark, detail)
    return found.causes


def _validate_status(new: Object, _: Object) -> Sequence[Cause]:
    found = Found()
    points = (new.get("status", {}).get("loadBalancer") or {}).get("ingress") or ()
    for index, point in enumerate(points):
        path = f"status.loadBalancer.ingress[{index}]"
        if point.get("ip"):
            validate_address(found, point["ip"], f"{path}.ip")
        host = point.get("hostname")
        if host:
            found.because(f"{path}.hostname", host, names.subdomain(host))
            if parse_address(host) is not None:
                found.invalid(f"{path}.hostname", host, NOT_AN_ADDRESS)
    return found.causes


def _warnings(ingress: Object) -> Sequence[str]:
    marked = CLASS_ANNOTATION in (ingress.get("metadata", {}).get("annotations") or {})
    if marked and ingress.get("spec", {}).get("ingressClassName") is None:
        return (f"annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead",)
    return ()


def _prepare_create(ingress: Object) -> None:
    ingress["status"] = {"loadBalancer": {}}


def _prepare_update(new: Object, old: Object) -> None:
    kept(new, old, "status")


def _default_class(object: Object) -> None:
    parameters = (object.get("spec") or {}).get("parameters")
    if parameters is not None and parameters.get("scope") is None:
        parameters["scope"] = "Cluster"


def _validate_class(object: Object) -> Sequence[Cause]:
    found = Found()
    spec = object.get("spec") or {}
    controller = spec.get("controller") or ""
    if not controller:
        found.required("spec.controller")
    else:
        if len(controller.encode()) > CONTROLLER_LIMIT_BYTES:
            found.too_long("spec.controller", CONTROLLER_LIMIT_BYTES)
        found.because("spec.controller", controller, names.domain_path(controller))
    parameters = spec.get("parameters")
    if parameters is None:
        return found.causes
    path = "spec.parameters"
    _validate_reference(found, parameters, path)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        found.required(f"{path}.scope")
    elif scope not in ("Cluster", "Namespace"):
        found.unsupported(f"{path}.scope", scope, ("Cluster", "Namespace"))
    elif scope == "Namespace":
        if namespace is None:
            found.required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
        else:
            found.because(f"{path}.namespace", namespace, names.label(namespace))
    elif namespace is not None:
        found.forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")
    return found.causes


def _validate_class_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    controllers = [(object.get("spec") or {}).get("controller") for object in (new, old)]
    immutable(found, controllers[0], controllers[1], "spec.controller")
    return found.causes


RULES: Mapping[str, Rules] = {
    "Ingress": Rules(
        prepare_create=_prepare_create,
        prepare_update=_prepare_update,
        prepare_status=take_spec_back,
        validate=_validate,
        validate_create=_validate_create,
        validate_status=_validate_status,
        warnings=_warnings,
        generation=True,
    ),
    "IngressClass": Rules(
        default=_default_class, validate=_validate_class, validate_update=_validate_class_update, generation=True
    ),
    "NetworkPolicy": POLICY,
    "IPAddress": ADDRESS,
    "ServiceCIDR": SERVICE_RANGE,
}
