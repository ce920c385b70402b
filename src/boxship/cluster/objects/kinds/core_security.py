"""Security contexts of pods and containers.

Source: "Configure a Security Context for a Pod or Container", "Using sysctls in a Kubernetes Cluster", "User
Namespaces", "Restrict a Container's Access to Resources with AppArmor", "... Syscalls with seccomp", "Create a Windows
HostProcess Pod"; API reference PodSecurityContext, SecurityContext, WindowsSecurityContextOptions.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.kinds.checking import Found
from boxship.cluster.objects.kinds.core_paths import validate_descending_path

LARGEST_ID = 2**31 - 1
ID_TEXT = f"must be between 0 and {LARGEST_ID}, inclusive"
PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
PATH_LIMIT_BYTES = 4095
SYSCTL = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
SYSCTL_LENGTH = 253
SPEC_LIMIT_KIB = 64
DOMAIN_LENGTH = 256
USER_LENGTH = 104
_SYSCTL = re.compile(SYSCTL, re.ASCII)
_NETBIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_DNS_PART = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS = re.compile(rf"{_DNS_PART}(?:\.{_DNS_PART})*")
_NOT_IN_USER = re.compile(r'["/\\:;|=,+*?<>@\[\]]')
# What a Windows pod has no use for, in the pod's and in a container's context.
NOT_WINDOWS_POD = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
)
NOT_WINDOWS_SPEC = ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace")
NOT_WINDOWS_CONTAINER = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)


def every_container(spec: Mapping[str, Any], path: str) -> Iterator[tuple[Object, str]]:
    """All containers of a pod and their paths."""
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(key) or ()):
            yield container, f"{path}.{key}[{index}]"


def _ids(found: Found, context: Mapping[str, Any], path: str, *keys: str) -> None:
    for key in keys:
        number = context.get(key)
        if number is not None and not 0 <= number <= LARGEST_ID:
            found.invalid(f"{path}.{key}", number, ID_TEXT)


def validate_pod_security(found: Found, spec: Mapping[str, Any], context: Mapping[str, Any], path: str) -> None:
    """The context of the whole pod `spec`."""
    _ids(found, context, path, "fsGroup", "runAsUser", "runAsGroup")
    for index, number in enumerate(context.get("supplementalGroups") or ()):
        if not 0 <= number <= LARGEST_ID:
            found.invalid(f"{path}.supplementalGroups[{index}]", number, ID_TEXT)
    if context.get("sysctls"):
        _validate_sysctls(found, spec, context["sysctls"], f"{path}.sysctls")
    for key, choices in (
        ("fsGroupChangePolicy", ("Always", "OnRootMismatch")),
        ("supplementalGroupsPolicy", ("Merge", "Strict")),
        ("seLinuxChangePolicy", ("MountOption", "Recursive")),
    ):
        if context.get(key) is not None and context[key] not in choices:
            found.unsupported(f"{path}.{key}", context[key], choices)
    _validate_profiles(found, context, path)


def validate_container_security(found: Found, context: Mapping[str, Any], path: str, host_users: bool) -> None:
    _ids(found, context, path, "runAsUser", "runAsGroup")
    mount = context.get("procMount")
    if mount is not None:
        if mount not in ("Default", "Unmasked"):
            found.unsupported(f"{path}.procMount", mount, ("Default", "Unmasked"))
        if mount == "Unmasked" and host_users:
            found.invalid(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`")
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            found.invalid(path, context, why)
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            found.invalid(path, context, why)
    _validate_profiles(found, context, path)


def _validate_profiles(found: Found, context: Mapping[str, Any], path: str) -> None:
    if context.get("seccompProfile") is not None:
        _validate_seccomp(found, context["seccompProfile"], f"{path}.seccompProfile")
    if context.get("windowsOptions") is not None:
        _validate_windows_options(found, context["windowsOptions"], f"{path}.windowsOptions")
    if context.get("appArmorProfile") is not None:
        _validate_apparmor(found, context["appArmorProfile"], f"{path}.appArmorProfile")


def _validate_seccomp(found: Found, profile: Mapping[str, Any], path: str) -> None:
    kind = profile.get("type")
    local = profile.get("localhostProfile")
    if not kind:
        found.required(f"{path}.type", "type is required when seccompProfile is set")
    elif kind not in PROFILES:
        found.unsupported(f"{path}.type", kind, PROFILES)
    if kind == "Localhost":
        if local is None:
            found.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
        else:
            validate_descending_path(found, local, f"{path}.localhostProfile")
    elif local is not None:
        found.invalid(f"{path}.localhostProfile", profile, "can only be set when seccomp type is Localhost")


def _validate_apparmor(found: Found, profile: Mapping[str, Any], path: str) -> None:
    kind = profile.get("type")
    local = profile.get("localhostProfile")
    at = f"{path}.localhostProfile"
    if kind == "Localhost":
        if not local:
            found.required(at, "must be set when AppArmor type is Localhost")
        elif local != local.strip():
            found.invalid(at, local, "must not be padded with whitespace")
        if local is not None and len(local.encode()) > PATH_LIMIT_BYTES:
            found.too_long(at, PATH_LIMIT_BYTES)
    elif kind in PROFILES:
        if local is not None:
            found.invalid(at, local, "can only be set when AppArmor type is Localhost")
    elif not kind:
        found.required(f"{path}.type", "type is required when appArmorProfile is set")
    else:
        found.unsupported(f"{path}.type", kind, PROFILES)


def _validate_sysctls(found: Found, spec: Mapping[str, Any], sysctls: list[Object], path: str) -> None:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        name = sysctl.get("name") or ""
        at = f"{path}[{index}].name"
        if not name:
            found.required(at)
        elif len(name) > SYSCTL_LENGTH or not _SYSCTL.fullmatch(name):
            found.invalid(at, name, f"must have at most {SYSCTL_LENGTH} characters and match regex ^{SYSCTL}$")
        elif name in seen:
            found.duplicate(at, name)
        seen.add(name)
        dotted = name.replace("/", ".") if "/" in name.partition(".")[0] else name
        if spec.get("hostNetwork") and dotted.startswith("net."):
            found.invalid(at, name, "may not be specified when 'hostNetwork' is true")
        if spec.get("hostIPC") and dotted.startswith(("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")):
            found.invalid(at, name, "may not be specified when 'hostIPC' is true")


def _validate_windows_options(found: Found, options: Mapping[str, Any], path: str) -> None:
    name = options.get("gmsaCredentialSpecName")
    if name is not None:
        found.because(f"{path}.gmsaCredentialSpecName", name, names.subdomain(name))
    spec = options.get("gmsaCredentialSpec")
    if spec is not None:
        at = f"{path}.gmsaCredentialSpec"
        if not spec:
            found.invalid(at, spec, "gmsaCredentialSpec cannot be an empty string")
        elif len(spec.encode()) > SPEC_LIMIT_KIB * 1024:
            found.invalid(at, spec, f"gmsaCredentialSpec size must be under {SPEC_LIMIT_KIB} KiB")
    user = options.get("runAsUserName")
    if user is not None:
        for why in _wrong_user(user):
            found.invalid(f"{path}.runAsUserName", user, why)


def _wrong_user(name: str) -> Iterator[str]:
    parts = name.split("\\")
    if not name:
        yield "runAsUserName cannot be an empty string"
        return
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        yield "runAsUserName cannot contain control characters"
        return
    if len(parts) > 2:
        yield "runAsUserName cannot contain more than one backslash"
        return
    user = parts[-1]
    if len(parts) == 2:
        if len(parts[0]) >= DOMAIN_LENGTH:
            yield f"runAsUserName's Domain length must be under {DOMAIN_LENGTH} characters"
        if not _NETBIOS.fullmatch(parts[0]) and not _DNS.fullmatch(parts[0]):
            yield "runAsUserName's Domain doesn't match the NetBios nor the DNS format"
    if not user:
        yield "runAsUserName's User cannot be empty"
    elif len(user) > USER_LENGTH:
        yield f"runAsUserName's User length must not be longer than {USER_LENGTH} characters"
    if user and not user.strip(". "):
        yield "runAsUserName's User cannot contain only periods or spaces"
    if _NOT_IN_USER.search(user):
        yield r'runAsUserName\'s User cannot contain the following characters: "/\:;|=,+*?<>@[]'.replace("\\'", "'")


def validate_host_process(found: Found, spec: Mapping[str, Any], path: str) -> None:
    """Windows containers that run in the host itself: all of a pod or none."""
    of_pod = ((spec.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    count = host = 0
    for container, at in every_container(spec, path):
        count += 1
        own = ((container.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
        if of_pod is not None and own is not None and own != of_pod:
            shown = "true" if of_pod else "false"
            why = f"pod hostProcess value must be identical if both are specified, was {shown}"
            found.invalid(f"{at}.securityContext.windowsOptions.hostProcess", own, why)
        host += bool(of_pod if own is None else own)
    if not host:
        return
    if host != count:
        why = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        found.invalid(path, "", why)
    if not spec.get("hostNetwork"):
        why = "hostNetwork must be true if pod contains any hostProcess containers"
        found.invalid(f"{path}.hostNetwork", False, why)


def validate_system(found: Found, spec: Mapping[str, Any], path: str) -> None:
    """Fields that the pod's operating system has no use for."""
    system = spec["os"].get("name")
    if not system:
        found.required(f"{path}.os.name", "cannot be empty")
    elif system not in ("linux", "windows"):
        found.unsupported(f"{path}.os", system, ("linux", "windows"))
    elif system == "linux":
        contexts = [(spec, path), *every_container(spec, path)]
        for part, at in contexts:
            if (part.get("securityContext") or {}).get("windowsOptions") is not None:
                where = f"{at}.securityContext.windowsOptions"
                found.forbidden(where, "windows options cannot be set for a linux pod")
    else:
        _forbid(found, spec.get("securityContext") or {}, NOT_WINDOWS_POD, f"{path}.securityContext")
        _forbid(found, spec, NOT_WINDOWS_SPEC, path)
        for container, at in every_container(spec, path):
            _forbid(found, container.get("securityContext") or {}, NOT_WINDOWS_CONTAINER, f"{at}.securityContext")


def _forbid(found: Found, holder: Mapping[str, Any], keys: tuple[str, ...], path: str) -> None:
    for key in keys:
        value = holder.get(key)
        if value is not None and value != [] and not (value is False and key in ("hostPID", "hostIPC")):
            found.forbidden(f"{path}.{key}", "cannot be set for a windows pod")
