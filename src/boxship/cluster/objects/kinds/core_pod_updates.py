"""What may change in a pod: by its owner, by the `ephemeralcontainers` and `resize` subresources, by its node.

Source: documentation "Pods" (Pod update and replacement), "Pod Scheduling Readiness", "Ephemeral Containers", "Resize
CPU and Memory Resources assigned to Containers"; k8s.io/kubernetes, registry/core/pod. The functions for subresources
are called by the API, which finds them in SUBRESOURCES.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found
from boxship.cluster.objects.kinds.comparing import keep_status, same, shown_differences
from boxship.cluster.objects.kinds.core_pod_annotations import APPARMOR, MIRROR
from boxship.cluster.objects.kinds.core_pod_spec import LARGEST
from boxship.cluster.objects.kinds.core_resources import qos_class

RESIZABLE = ("cpu", "memory")
UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def validate_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    after, before = new.get("spec") or {}, old.get("spec") or {}
    validate_annotation_updates(found, new, old)
    for key in ("containers", "initContainers"):
        if len(after.get(key) or ()) != len(before.get(key) or ()):
            found.forbidden(f"spec.{key}", "pod updates may not add or remove containers")
            return found.causes
        for index, container in enumerate(after.get(key) or ()):
            image = container.get("image") or ""
            if image != image.strip():
                why = "must not have leading or trailing whitespace"
                found.invalid(f"spec.{key}[{index}].image", image, why)
    if not _validate_deadline(found, after.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")):
        return found.causes
    _validate_tolerations(found, after.get("tolerations") or [], before.get("tolerations") or [])
    _validate_gates(found, after.get("schedulingGates") or [], before.get("schedulingGates") or [])
    if not same(after, before):
        _validate_rest(found, after, before)
    return found.causes


def _validate_deadline(found: Found, after: int | None, before: int | None) -> bool:
    path = "spec.activeDeadlineSeconds"
    if after is None:
        if before is not None:
            found.invalid(path, None, "must not update from a positive integer to nil value")
        return True
    if not 0 <= after <= LARGEST:
        found.invalid(path, after, f"must be between 0 and {LARGEST}, inclusive")
        return False
    if before is not None and before < after:
        found.invalid(path, after, "must be less than or equal to previous value")
        return False
    return True


def _validate_tolerations(found: Found, after: list[Object], before: list[Object]) -> None:
    def known(toleration: Object) -> Object:
        return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}

    for toleration in before:
        if not any(same(known(toleration), known(other)) for other in after):
            why = "existing toleration can not be modified except its tolerationSeconds"
            found.forbidden("spec.tolerations", why)
            return


def _validate_gates(found: Found, after: list[Object], before: list[Object]) -> None:
    had = {gate.get("name") for gate in before}
    for index, gate in enumerate(after):
        if gate.get("name") not in had:
            why = f"only deletion is allowed, but found new scheduling gate '{gate.get('name') or ''}'"
            found.forbidden(f"spec.schedulingGates[{index}].name", why)


def _validate_rest(found: Found, after: Object, before: Object) -> None:
    """Everything that has no rule of its own is as before."""
    munged = dict(after)
    for key in ("containers", "initContainers"):
        if munged.get(key):
            munged[key] = [
                {**container, "image": old.get("image")}
                for container, old in zip(munged[key], before[key], strict=True)
            ]
    for key in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        munged[key] = before.get(key)
    grace = before.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and munged.get("terminationGracePeriodSeconds") == 1:
        munged["terminationGracePeriodSeconds"] = grace
    if before.get("schedulingGates"):
        _validate_gated(found, munged, before)
    if not same(munged, before):
        found.forbidden("spec", f"{UPDATABLE}\n{shown_differences(before, munged, 'spec')}")


def _validate_gated(found: Found, munged: Object, before: Object) -> None:
    """As long as a gate keeps a pod from being placed, where it may go can be narrowed."""
    selector, had = munged.get("nodeSelector") or {}, before.get("nodeSelector") or {}
    if any(selector.get(key) != value for key, value in had.items()):
        why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        found.invalid("spec.nodeSelector", selector, why)
    munged["nodeSelector"] = before.get("nodeSelector")
    affinity = dict(munged.get("affinity") or {})
    old_affinity = before.get("affinity") or {}
    new_node, old_node = affinity.get("nodeAffinity") or {}, old_affinity.get("nodeAffinity") or {}
    if same(new_node, old_node):
        return
    terms = (new_node.get(REQUIRED) or {}).get("nodeSelectorTerms") or []
    old_terms = (old_node.get(REQUIRED) or {}).get("nodeSelectorTerms") or []
    path = f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms"
    if old_terms and len(terms) != len(old_terms):
        why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        found.invalid(path, terms, why)
    else:
        for index, old in enumerate(old_terms):
            if not _only_added(terms[index], old):
                why = "only additions are allowed (no mutations or deletions)"
                found.invalid(f"{path}[{index}]", terms[index], why)
    affinity["nodeAffinity"] = old_affinity.get("nodeAffinity")
    is_new = before.get("affinity") is None and not any(affinity.values())  # nothing was added but the node's
    munged["affinity"] = None if is_new else affinity


def _only_added(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    keys = ("matchExpressions", "matchFields")
    if not any(old.get(key) for key in keys):
        return not any(new.get(key) for key in keys)
    return all(same((new.get(key) or [])[: len(old.get(key) or [])], old.get(key) or []) for key in keys)


def validate_annotation_updates(found: Found, new: Object, old: Object) -> None:
    after = (new.get("metadata") or {}).get("annotations") or {}
    before = (old.get("metadata") or {}).get("annotations") or {}
    for key in (*before, *(key for key in after if key not in before)):
        if key != MIRROR and not key.startswith(APPARMOR):
            continue
        path = f"metadata.annotations[{key}]"
        if key not in before:
            what = "mirror pod annotation" if key == MIRROR else "AppArmor annotations"
            found.forbidden(path, f"may not add {what}")
        elif after.get(key) != before[key]:
            what = "mirror pod annotation" if key == MIRROR else "AppArmor annotations"
            found.forbidden(path, f"may not remove or update {what}")


def prepare_ephemeral(new: Object, old: Object) -> None:
    """Of a write to `ephemeralcontainers` only these are taken."""
    containers = (new.get("spec") or {}).get("ephemeralContainers")
    new["spec"] = dict(old.get("spec") or {})
    if containers:
        new["spec"]["ephemeralContainers"] = containers
    else:
        new["spec"].pop("ephemeralContainers", None)
    keep_status(new, old)


def validate_ephemeral(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    if MIRROR in ((old.get("metadata") or {}).get("annotations") or {}):
        found.forbidden("", "static pods do not support ephemeral containers")
        return found.causes
    path = "spec.ephemeralContainers"
    after = {each.get("name"): each for each in (new.get("spec") or {}).get("ephemeralContainers") or ()}
    for container in (old.get("spec") or {}).get("ephemeralContainers") or ():
        name = container.get("name")
        if name not in after:
            found.forbidden(path, f'existing ephemeral containers "{name}" may not be removed\n')
        elif not same(container, after[name]):
            shown = shown_differences(container, after[name], path)
            found.forbidden(path, f'existing ephemeral containers "{name}" may not be changed\n{shown}')
    return found.causes


def prepare_resize(new: Object, old: Object) -> None:
    """Of a write to `resize` only resources are taken; containers in another order are left for validation."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    merged = copied(before)
    for key in ("containers", "initContainers"):
        if [each.get("name") for each in after.get(key) or ()] != [each.get("name") for each in before.get(key) or ()]:
            return
        for container, given in zip(merged.get(key) or (), after.get(key) or (), strict=True):
            for field in ("resources", "resizePolicy"):
                if field in given:
                    container[field] = given[field]
                else:
                    container.pop(field, None)
    if "resources" in after:
        merged["resources"] = after["resources"]
    else:
        merged.pop("resources", None)
    new["spec"] = merged
    keep_status(new, old)


def validate_resize(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    after, before = new.get("spec") or {}, old.get("spec") or {}
    if MIRROR in ((old.get("metadata") or {}).get("annotations") or {}):
        found.forbidden("", "static pods cannot be resized")
    elif (before.get("os") or {}).get("name") == "windows":
        found.forbidden("", "windows pods cannot be resized")
    if found.causes:
        return found.causes
    status = old.get("status") or {}
    if (status.get("qosClass") or qos_class(before)) != qos_class(after):
        why = "Pod QOS Class may not change as a result of resizing"
        found.invalid("spec", status.get("qosClass") or "", why)
    running: Object = next(
        (each for each in status.get("containerStatuses") or () if (each.get("state") or {}).get("running")), {}
    )
    if running and running.get("resources") is None:
        found.forbidden("spec", "Pod running on node without support for resize")
    _refuse_removed(found, after.get("resources") or {}, before.get("resources") or {}, "spec.resources")
    for key in ("initContainers", "containers"):
        pairs = list(zip(after.get(key) or (), before.get(key) or (), strict=False))
        if len(after.get(key) or ()) != len(before.get(key) or ()):
            found.forbidden(f"spec.{key}", "pod updates may not add or remove containers")
            return found.causes
        for index, (container, had) in enumerate(pairs):
            _validate_container_resize(found, container, had, key, index)
    if not found.causes and not same(_unsized(after), _unsized(before)):
        found.forbidden("spec", "only cpu and memory resources are mutable")
    return found.causes


def _refuse_removed(found: Found, now: Object, was: Object, path: str) -> None:
    for part in ("requests", "limits"):
        if any(name not in (now.get(part) or {}) for name in was.get(part) or {}):
            found.forbidden(f"{path}.{part}", f"resource {part} cannot be removed")


def _validate_container_resize(found: Found, container: Object, had: Object, key: str, index: int) -> None:
    sidecar = key == "initContainers"
    if sidecar and had.get("restartPolicy") != "Always":
        if not same(container, had):
            found.forbidden("spec", "resources for non-sidecar init containers are immutable")
        return
    path = f"spec.{key}[{index}].resources"
    now, was = container.get("resources") or {}, had.get("resources") or {}
    _refuse_removed(found, now, was, path)
    policy = next(
        (
            each.get("restartPolicy")
            for each in container.get("resizePolicy") or ()
            if each.get("resourceName") == "memory"
        ),
        "",
    )
    limit, had_limit = (now.get("limits") or {}).get("memory"), (was.get("limits") or {}).get("memory")
    if policy in ("NotRequired", "") and limit is not None and had_limit is None:
        why = "memory limits cannot be added unless resizePolicy is RestartContainer"
        found.forbidden(f"{path}.limits[memory]", why)
    if not same(_unsized_part(container), _unsized_part(had)):
        what = "cpu and memory resources for sidecar containers are" if sidecar else "cpu and memory resources are"
        found.forbidden("spec", f"only {what} mutable")


def _unsized(spec: Object) -> Object:
    """Without what a resize may change."""
    plain = _unsized_part(spec)
    for key in ("containers", "initContainers"):
        plain[key] = [_unsized_part(container) for container in spec.get(key) or ()]
    return plain


def _unsized_part(part: Object) -> Object:
    resources = {
        key: {name: text for name, text in (value or {}).items() if name not in RESIZABLE}
        for key, value in (part.get("resources") or {}).items()
        if isinstance(value, dict)
    }
    return {**part, "resources": {**(part.get("resources") or {}), **resources}, "resizePolicy": None}


class SubresourceRules(msgspec.Struct, frozen=True):
    """A write to a part of a pod: `prepare`, then the pod's own `validate`, then this `validate`."""

    prepare: Callable[[Object, Object], None]
    validate: Callable[[Object, Object], Sequence[Cause]]


SUBRESOURCES = {
    "ephemeralcontainers": SubresourceRules(prepare_ephemeral, validate_ephemeral),
    "resize": SubresourceRules(prepare_resize, validate_resize),
}


def validate_binding(binding: Object) -> Sequence[Cause]:
    """Of a pod to a node."""
    found = Found()
    target = binding.get("target") or {}
    if target.get("kind") not in (None, "", "Node"):
        found.unsupported("target.kind", target["kind"], ("Node", "<empty>"))
    if not target.get("name"):
        found.required("target.name")
    return found.causes
