"""Annotations that once were fields of pods, and still have to be right where they stand.

Source: documentation "Well-Known Labels, Annotations and Taints"; "Restrict a Container's Access to Resources with
AppArmor" (annotations before 1.30), "Seccomp and Kubernetes" (before 1.27).
"""

from collections.abc import Mapping
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.kinds.checking import Found, quote
from boxship.cluster.objects.kinds.core_paths import validate_descending_path
from boxship.cluster.objects.kinds.core_security import every_container

MIRROR = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
LOCAL = "localhost/"
# What an annotation says for a type of profile.
SAID: dict[str, dict[str, tuple[str, ...]]] = {
    "seccomp": {"Unconfined": ("unconfined",), "RuntimeDefault": ("runtime/default", "docker/default")},
    "apparmor": {"Unconfined": ("unconfined",), "RuntimeDefault": ("runtime/default",)},
}


def validate_pod_annotations(found: Found, annotations: Mapping[str, str], spec: Object, path: str) -> None:
    if MIRROR in annotations and not spec.get("nodeName"):
        why = "must set spec.nodeName if mirror pod annotation is set"
        found.invalid(f"{path}[{MIRROR}]", annotations[MIRROR], why)
    cost = annotations.get(DELETION_COST)
    if cost is not None and not _is_number(cost):
        found.invalid(f"{path}[{DELETION_COST}]", cost, "must be a 32bit integer")
    for key, value in annotations.items():
        if key == SECCOMP_POD or key.startswith(SECCOMP_CONTAINER):
            if value.startswith(LOCAL):
                validate_descending_path(found, value.removeprefix(LOCAL), f"{path}.{key}")
            elif value not in ("runtime/default", "docker/default", "unconfined"):
                found.invalid(f"{path}.{key}", value, "must be a valid seccomp profile")
        elif key.startswith(APPARMOR):
            name = key.removeprefix(APPARMOR)
            if not any(container.get("name") == name for container, _ in every_container(spec, "")):
                found.invalid(f"{path}[{key}]", name, "container not found")
            if value not in ("", "runtime/default", "unconfined") and not value.startswith(LOCAL):
                found.invalid(f"{path}[{key}]", value, f"invalid AppArmor profile name: {quote(value)}")


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-")
    plain = digits.isascii() and digits.isdigit() and (digits == "0" or digits[0] != "0") and text != "-0"
    return plain and -(2**31) <= int(text) < 2**31


def validate_annotations_match(found: Found, annotations: Mapping[str, str], spec: Object, path: str) -> None:
    """Where an annotation and the field that took its place are both there, they say the same."""
    of_pod: Mapping[str, Any] = spec.get("securityContext") or {}
    if SECCOMP_POD in annotations and of_pod.get("seccompProfile"):
        at = f"{path}.securityContext.seccompProfile"
        _validate_match(found, annotations[SECCOMP_POD], of_pod["seccompProfile"], "seccomp", at)
    windows = (spec.get("os") or {}).get("name") == "windows"
    for container, at in every_container(spec, path):
        own = container.get("securityContext") or {}
        name = container.get("name") or ""
        said = annotations.get(SECCOMP_CONTAINER + name)
        if said is not None and own.get("seccompProfile"):
            _validate_match(found, said, own["seccompProfile"], "seccomp", f"{at}.securityContext.seccompProfile")
        profile = own.get("appArmorProfile") or of_pod.get("appArmorProfile")
        said = annotations.get(APPARMOR + name)
        if said is not None and profile and not windows:
            _validate_match(found, said, profile, "apparmor", f"{at}.securityContext.appArmorProfile")


def _validate_match(found: Found, said: str, profile: Mapping[str, Any], what: str, path: str) -> None:
    kind = profile.get("type") or ""
    expected = SAID[what].get(kind)
    local = kind == "Localhost"
    if (expected is not None and said not in expected) or (local and not said.startswith(LOCAL)):
        found.forbidden(f"{path}.type", f"{what} type in annotation and field must match")
    elif local and said.removeprefix(LOCAL) != profile.get("localhostProfile"):
        found.forbidden(f"{path}.localhostProfile", f"{what} profile in annotation and field must match")
