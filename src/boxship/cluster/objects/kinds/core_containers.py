"""What is right in a container, an init container, a sidecar and an ephemeral container.

Source: API reference Container and EphemeralContainer; documentation "Init Containers", "Sidecar Containers",
"Ephemeral Containers", "Volumes" (mounts), "Resize CPU and Memory Resources assigned to Containers", "Pod Lifecycle"
(restart rules of single containers).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.kinds.checking import Found
from boxship.cluster.objects.kinds.core_addresses import validate_port_number
from boxship.cluster.objects.kinds.core_environment import validate_environment, validate_environment_sources
from boxship.cluster.objects.kinds.core_handlers import validate_lifecycle, validate_probe
from boxship.cluster.objects.kinds.core_paths import validate_descending_path
from boxship.cluster.objects.kinds.core_resources import validate_requirements
from boxship.cluster.objects.kinds.core_security import validate_container_security

Volumes = Mapping[str, Mapping[str, Any]]
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
PROTOCOLS = ("SCTP", "TCP", "UDP")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
RECURSIONS = ("Disabled", "Enabled", "IfPossible")
RESTARTS = ("Always", "Never", "OnFailure")
RESTART_RULES_LIMIT = 20
EXIT_CODES_LIMIT = 255
# What an ephemeral container, which is only looked through, may not have.
NOT_EPHEMERAL = ("ports", *PROBES, "lifecycle", "restartPolicy", "restartPolicyRules", "resizePolicy")


class Context(msgspec.Struct, frozen=True):
    """What the containers' rules need of their pod."""

    volumes: Volumes
    claims: Collection[str]
    restart_policy: str
    grace: int | None
    host_users: bool
    system: str  # "linux", "windows", "" where the pod does not say


def validate_containers(found: Found, containers: Sequence[Object], path: str, context: Context) -> None:
    if not containers:
        found.required(path)
        return
    seen: set[str] = set()
    for index, container in enumerate(containers):
        at = f"{path}[{index}]"
        _validate_shared(found, container, at, context)
        name = container.get("name") or ""
        if name in seen:
            found.duplicate(f"{at}.name", name)
        seen.add(name)
        _validate_running(found, container, at, context)
        _validate_restarts(found, container, at)
    _validate_host_ports(found, containers, path)


def validate_init_containers(
    found: Found, containers: Sequence[Object], regular: Sequence[Object], path: str, context: Context
) -> None:
    seen = {container.get("name") or "" for container in regular}
    for index, container in enumerate(containers):
        at = f"{path}[{index}]"
        _validate_shared(found, container, at, context)
        _validate_restarts(found, container, at)
        name = container.get("name") or ""
        if name in seen:
            found.duplicate(f"{at}.name", name)
        elif name:
            seen.add(name)
        _validate_host_ports(found, (container,), path)
        if container.get("restartPolicy") == "Always":
            _validate_running(found, container, at, context)
        else:
            for key in ("lifecycle", *PROBES):
                if container.get(key) is not None:
                    found.forbidden(f"{at}.{key}", "may not be set for init containers without restartPolicy=Always")


def validate_ephemeral_containers(
    found: Found, containers: Sequence[Object], others: Sequence[Object], path: str, context: Context
) -> None:
    known = {container.get("name") or "" for container in others}
    seen = set(known)
    for index, container in enumerate(containers):
        at = f"{path}[{index}]"
        _validate_shared(found, container, at, context)
        validate_image_space(found, container, at)
        name = container.get("name") or ""
        if name in seen:
            found.duplicate(f"{at}.name", name)
        seen.add(name)
        target = container.get("targetContainerName")
        if target and target not in known:
            found.not_found(f"{at}.targetContainerName", target)
        for key in NOT_EPHEMERAL:
            if container.get(key):
                found.forbidden(f"{at}.{key}", "cannot be set for an Ephemeral Container")
        if container.get("resources"):
            found.forbidden(f"{at}.resources", "cannot be set for an Ephemeral Container")
        for place, mount in enumerate(container.get("volumeMounts") or ()):
            for key in ("subPath", "subPathExpr"):
                if mount.get(key):
                    text = "cannot be set for an Ephemeral Container"
                    found.forbidden(f"{at}.volumeMounts[{place}].{key}", text)


def validate_image_space(found: Found, container: Mapping[str, Any], path: str) -> None:
    """In a pod, though not in a template, nothing may stand around the image's name."""
    image = container.get("image") or ""
    if image != image.strip():
        found.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")


def _validate_running(found: Found, container: Mapping[str, Any], path: str, context: Context) -> None:
    """What only containers have that go on running."""
    lifecycle = container.get("lifecycle")
    if lifecycle is not None:
        validate_lifecycle(found, lifecycle, context.grace, context.system, f"{path}.lifecycle")
    for key in PROBES:
        if container.get(key) is not None:
            validate_probe(found, container[key], key, context.grace, f"{path}.{key}")


def _validate_shared(found: Found, container: Object, path: str, context: Context) -> None:
    name = container.get("name")
    if not name:
        found.required(f"{path}.name")
    else:
        found.because(f"{path}.name", name, names.label(name))
    if not container.get("image"):
        found.required(f"{path}.image")
    _one_of(found, container.get("terminationMessagePolicy"), MESSAGE_POLICIES, f"{path}.terminationMessagePolicy")
    if container.get("ports"):
        _validate_ports(found, container["ports"], f"{path}.ports")
    if container.get("env"):
        validate_environment(found, container["env"], f"{path}.env", context.volumes)
    if container.get("envFrom"):
        validate_environment_sources(found, container["envFrom"], f"{path}.envFrom")
    if container.get("volumeMounts"):
        _validate_mounts(found, container, path, context.volumes)
    if container.get("volumeDevices"):
        _validate_devices(found, container, path, context.volumes)
        if not context.host_users:
            found.forbidden(f"{path}.volumeDevices", "when `hostUsers` is false")
    _one_of(found, container.get("imagePullPolicy"), PULL_POLICIES, f"{path}.imagePullPolicy")
    validate_requirements(found, container.get("resources"), f"{path}.resources", claims=context.claims)
    if container.get("resizePolicy"):
        _validate_resize(found, container["resizePolicy"], f"{path}.resizePolicy", context.restart_policy)
    if container.get("securityContext"):
        validate_container_security(found, container["securityContext"], f"{path}.securityContext", context.host_users)


def _one_of(found: Found, value: str | None, choices: Sequence[str], path: str) -> None:
    if value not in choices:
        if value:
            found.unsupported(path, value, choices)
        else:
            found.required(path)


def _validate_ports(found: Found, ports: Sequence[Mapping[str, Any]], path: str) -> None:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at = f"{path}[{index}]"
        name = port.get("name")
        if name:
            why = names.port_name(name)
            found.because(f"{at}.name", name, why)
            if name in seen:
                found.duplicate(f"{at}.name", name)
            elif not why:
                seen.add(name)
        if not port.get("containerPort"):
            found.required(f"{at}.containerPort")
        else:
            validate_port_number(found, port["containerPort"], f"{at}.containerPort")
        if port.get("hostPort"):
            validate_port_number(found, port["hostPort"], f"{at}.hostPort")
        _one_of(found, port.get("protocol"), PROTOCOLS, f"{at}.protocol")


def _validate_host_ports(found: Found, containers: Sequence[Mapping[str, Any]], path: str) -> None:
    seen: set[str] = set()
    for index, container in enumerate(containers):
        for place, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol') or ''}/{port.get('hostIP') or ''}/{port['hostPort']}"
            if key in seen:
                found.duplicate(f"{path}[{index}].ports[{place}].hostPort", key)
            seen.add(key)


def _validate_mounts(found: Found, container: Mapping[str, Any], path: str, volumes: Volumes) -> None:
    devices = {device.get("name"): device.get("devicePath") for device in container.get("volumeDevices") or ()}
    seen: set[str] = set()
    at = f"{path}.volumeMounts"
    for index, mount in enumerate(container["volumeMounts"]):
        name, place = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            found.required(f"{at}[{index}].name")
        if name not in volumes:
            found.not_found(f"{at}[{index}].name", name)
        if not place:
            found.required(f"{at}[{index}].mountPath")
        if place in seen:
            found.invalid(f"{at}[{index}].mountPath", place, "must be unique")
        seen.add(place)
        if name in devices:
            found.invalid(f"{at}[{index}].name", name, "must not already exist in volumeDevices")
        if place in devices.values():
            found.invalid(f"{at}[{index}].mountPath", place, "must not already exist as a path in volumeDevices")
        if len(mount) > 2:
            _validate_mount_options(found, container, mount, index, at)


def _validate_mount_options(
    found: Found, container: Mapping[str, Any], mount: Mapping[str, Any], index: int, path: str
) -> None:
    inside, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    if inside:
        validate_descending_path(found, inside, f"{path}.subPath")
    if expression:
        if inside:
            found.invalid(f"{path}[{index}].subPathExpr", expression, "subPathExpr and subPath are mutually exclusive")
        validate_descending_path(found, expression, f"{path}.subPathExpr")
    propagation = mount.get("mountPropagation")
    if propagation is not None:
        if propagation not in PROPAGATIONS:
            found.unsupported(f"{path}.mountPropagation", propagation, PROPAGATIONS)
        if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
            why = "Bidirectional mount propagation is available only to privileged containers"
            found.forbidden(f"{path}.mountPropagation", why)
    recursive = mount.get("recursiveReadOnly")
    if recursive is None or recursive == "Disabled":
        return
    if recursive not in RECURSIONS:
        found.unsupported(f"{path}.recursiveReadOnly", recursive, RECURSIONS)
        return
    if not mount.get("readOnly"):
        found.forbidden(f"{path}.recursiveReadOnly", "may only be specified when readOnly is true")
    if propagation not in (None, "None"):
        why = "may only be specified when mountPropagation is None or not specified"
        found.forbidden(f"{path}.recursiveReadOnly", why)


def _validate_devices(found: Found, container: Mapping[str, Any], path: str, volumes: Volumes) -> None:
    mounts = {mount.get("name"): mount.get("mountPath") for mount in container.get("volumeMounts") or ()}
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    for index, device in enumerate(container["volumeDevices"]):
        at = f"{path}.volumeDevices[{index}]"
        name, place = device.get("name") or "", device.get("devicePath") or ""
        source = volumes.get(name)
        if not name:
            found.required(f"{at}.name")
        if name in seen_names:
            found.invalid(f"{at}.name", name, "must be unique")
        if source is None:
            found.not_found(f"{at}.name", name)
        elif source.get("persistentVolumeClaim") is None and source.get("ephemeral") is None:
            why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            found.invalid(f"{at}.name", name, why)
        if not place:
            found.required(f"{at}.devicePath")
        if place in seen_paths:
            found.invalid(f"{at}.devicePath", place, "must be unique")
        if ".." in place.split("/"):
            found.invalid(f"{at}.devicePath", place, "can not contain backsteps ('..')")
        else:
            seen_paths.add(place)
        if name in mounts:
            found.invalid(f"{at}.name", name, "must not already exist in volumeMounts")
        if place in mounts.values():
            found.invalid(f"{at}.devicePath", place, "must not already exist as a path in volumeMounts")
        if name:
            seen_names.add(name)


def _validate_resize(found: Found, policies: Sequence[Mapping[str, Any]], path: str, restart_policy: str) -> None:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        name, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if name in seen:
            found.duplicate(f"{path}[{index}]", name)
        seen.add(name)
        _one_of(found, name, ("cpu", "memory"), path)
        _one_of(found, restart, ("NotRequired", "RestartContainer"), path)
        if restart_policy == "Never" and restart != "NotRequired":
            found.invalid(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def _validate_restarts(found: Found, container: Mapping[str, Any], path: str) -> None:
    """A restart policy of a container's own, and its rules by exit code."""
    policy = container.get("restartPolicy")
    rules = container.get("restartPolicyRules") or ()
    if policy is not None and policy not in RESTARTS:
        found.unsupported(f"{path}.restartPolicy", policy, RESTARTS)
    if not rules:
        return
    at = f"{path}.restartPolicyRules"
    if policy is None:
        found.required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used")
    if len(rules) > RESTART_RULES_LIMIT:
        found.too_many(at, len(rules), RESTART_RULES_LIMIT)
    for index, rule in enumerate(rules):
        if rule.get("action") not in ("Restart", "RestartAllContainers"):
            found.unsupported(f"{at}[{index}].action", rule.get("action") or "", ("Restart", "RestartAllContainers"))
        codes = rule.get("exitCodes")
        if codes is None:
            found.required(f"{at}[{index}].exitCodes", "must be specified")
            continue
        if codes.get("operator") not in ("In", "NotIn"):
            found.unsupported(f"{at}[{index}].exitCodes.operator", codes.get("operator") or "", ("In", "NotIn"))
        values = codes.get("values") or ()
        if len(values) > EXIT_CODES_LIMIT:
            found.too_many(f"{at}[{index}].exitCodes.values", len(values), EXIT_CODES_LIMIT)
