"""What a container may do and as whom it runs, from the pod's and its own security context. Pure.

Source: kubernetes.io, "Configure a Security Context for a Pod or Container", "Restrict a Container's Syscalls with
seccomp", "Restrict a Container's Access to Resources with AppArmor"; the messages are the original's.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from boxship.cluster.node.plan.facts import shown
from boxship.cluster.node.planning import NotPossible
from boxship.cluster.objects import Object

NOT_NOW = "CreateContainerConfigError"
MERGE, STRICT = "merge", "strict"


class Security(msgspec.Struct, frozen=True, kw_only=True):
    """Fields of a ContainerSpec. `profile` names a file of the node's seccomp folder that `options` still lack."""

    user: str = ""
    groups: tuple[str, ...] = ()
    groups_policy: str = MERGE
    privileged: bool = False
    read_only: bool = False
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    profile: str = ""
    unmasked: bool = False


def effective(pod: Object, container: Mapping[str, Any]) -> dict[str, Any]:
    """The container's context, with the pod's where it says nothing."""
    general: Mapping[str, Any] = pod["spec"].get("securityContext") or {}
    own: Mapping[str, Any] = container.get("securityContext") or {}
    return {**{key: value for key, value in general.items() if value is not None}, **_said(own)}


def _said(own: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in own.items() if value is not None}


def security_of(pod: Object, container: Mapping[str, Any], image_user: str) -> Security:
    """`image_user` is what the image's config says ("" for root). Raises NotPossible."""
    context = effective(pod, container)
    _check_user(pod, container, context, image_user)
    _check_modules(context)
    general: Mapping[str, Any] = pod["spec"].get("securityContext") or {}
    capabilities: Mapping[str, Any] = context.get("capabilities") or {}
    privileged = bool(context.get("privileged"))
    options: list[str] = []
    if context.get("allowPrivilegeEscalation") is False and not privileged:
        options.append("no-new-privileges=true")
    seccomp, profile = _seccomp(context, privileged=privileged)
    if seccomp:
        options.append(seccomp)
    return Security(
        user=_user(context, image_user),
        groups=_groups(general),
        groups_policy=STRICT if general.get("supplementalGroupsPolicy") == "Strict" else MERGE,
        privileged=privileged,
        read_only=bool(context.get("readOnlyRootFilesystem")),
        add=tuple(capabilities.get("add") or ()),
        drop=tuple(capabilities.get("drop") or ()),
        options=tuple(options),
        profile=profile,
        unmasked=context.get("procMount") == "Unmasked",
    )


def _user(context: Mapping[str, Any], image_user: str) -> str:
    """ "" leaves it to the image."""
    user, group = context.get("runAsUser"), context.get("runAsGroup")
    if user is None and group is None:
        return ""
    name = str(user) if user is not None else image_user.partition(":")[0] or "0"
    return name if group is None else f"{name}:{group}"


def _groups(general: Mapping[str, Any]) -> tuple[str, ...]:
    found = [*(general.get("supplementalGroups") or ())]
    if general.get("fsGroup") is not None:
        found.append(general["fsGroup"])
    return tuple(dict.fromkeys(str(group) for group in found))


def _check_user(pod: Object, container: Mapping[str, Any], context: Mapping[str, Any], image_user: str) -> None:
    if not context.get("runAsNonRoot"):
        return
    place = f'(pod: "{shown(pod)}", container: {container["name"]})'
    if context.get("runAsUser") is not None:
        if context["runAsUser"] == 0:
            raise NotPossible(NOT_NOW, f"container's runAsUser breaks non-root policy {place}")
        return
    name = image_user.partition(":")[0]
    if name in ("", "0"):
        raise NotPossible(NOT_NOW, f"container has runAsNonRoot and image will run as root {place}")
    if not (name.isascii() and name.isdigit()):
        why = f"image has non-numeric user ({name}), cannot verify user is non-root"
        raise NotPossible(NOT_NOW, f"container has runAsNonRoot and {why} {place}")
    if int(name) == 0:
        raise NotPossible(NOT_NOW, f"container has runAsNonRoot and image will run as root {place}")


def _check_modules(context: Mapping[str, Any]) -> None:
    """What asks to be confined by something that is not there is refused."""
    apparmor: Mapping[str, Any] = context.get("appArmorProfile") or {}
    kind = apparmor.get("type") or "Unconfined"
    if kind != "Unconfined":
        why = f"Cannot enforce AppArmor: unsupported: securityContext.appArmorProfile.type {kind}"
        raise NotPossible("AppArmor", why, final=True)
    if context.get("windowsOptions"):
        raise NotPossible("CreateContainerError", "unsupported: securityContext.windowsOptions")


def _seccomp(context: Mapping[str, Any], *, privileged: bool) -> tuple[str, str]:
    """The option, and the file that one of its own lies in."""
    profile: Mapping[str, Any] = context.get("seccompProfile") or {}
    kind = profile.get("type") or "Unconfined"
    if kind == "Localhost" and not privileged:
        return "", str(profile.get("localhostProfile") or "")
    return ("seccomp=builtin" if kind == "RuntimeDefault" and not privileged else "seccomp=unconfined"), ""
