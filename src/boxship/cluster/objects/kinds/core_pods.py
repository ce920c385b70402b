"""The rules of Pod, PodTemplate and Binding.

Source: API reference of core/v1; k8s.io/kubernetes, registry/core/pod (strategy) and apis/core/validation.
"""

from collections.abc import Sequence
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found
from boxship.cluster.objects.kinds.comparing import keep_status, text_of
from boxship.cluster.objects.kinds.core_containers import validate_image_space
from boxship.cluster.objects.kinds.core_pod_annotations import (
    APPARMOR,
    LOCAL,
    validate_annotations_match,
    validate_pod_annotations,
)
from boxship.cluster.objects.kinds.core_pod_defaults import default_pod, default_template
from boxship.cluster.objects.kinds.core_pod_spec import validate_pod_spec, validate_template
from boxship.cluster.objects.kinds.core_pod_status import first_status, prepare_status, validate_status
from boxship.cluster.objects.kinds.core_pod_updates import validate_binding, validate_update
from boxship.cluster.objects.kinds.core_pod_warnings import pod_warnings, template_warnings
from boxship.cluster.objects.kinds.core_security import every_container
from boxship.cluster.objects.rules import Rules

PLAIN_FIELDS = (
    ("spec.nodeName", "spec", "nodeName"),
    ("spec.restartPolicy", "spec", "restartPolicy"),
    ("spec.schedulerName", "spec", "schedulerName"),
    ("spec.serviceAccountName", "spec", "serviceAccountName"),
    ("status.phase", "status", "phase"),
    ("status.nominatedNodeName", "status", "nominatedNodeName"),
)
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def _prepare_create(pod: Object) -> None:
    pod["status"] = first_status(pod)
    spec = pod.get("spec") or {}
    labels = (pod.get("metadata") or {}).get("labels") or {}
    _merge_label_keys(spec, labels)
    _take_apparmor(pod, spec)


def _merge_label_keys(spec: Object, labels: dict[str, str]) -> None:
    """Keys of labels become terms with the pod's own values."""
    terms = list(spec.get("topologySpreadConstraints") or ())
    affinity = spec.get("affinity") or {}
    for key in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(key) or {}
        terms += [each.get("podAffinityTerm") or {} for each in part.get(PREFERRED) or ()]
        terms += part.get(REQUIRED) or ()
    for term in terms:
        selector = term.get("labelSelector")
        if selector is None:
            continue
        for key, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
            for label in term.get(key) or ():
                if label in labels:
                    need = {"key": label, "operator": operator, "values": [labels[label]]}
                    selector.setdefault("matchExpressions", []).append(need)


def _take_apparmor(pod: Object, spec: Object) -> None:
    """What only an annotation says becomes a field."""
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    if (spec.get("os") or {}).get("name") == "windows" or not any(key.startswith(APPARMOR) for key in annotations):
        return
    of_pod = (spec.get("securityContext") or {}).get("appArmorProfile")
    for container, _ in every_container(spec, "spec"):
        said = annotations.get(APPARMOR + (container.get("name") or ""))
        if said is None or (container.get("securityContext") or {}).get("appArmorProfile"):
            continue
        profile: Object = {}
        if said in ("", "runtime/default"):
            profile = {"type": "RuntimeDefault"} if said else {}
        elif said == "unconfined":
            profile = {"type": "Unconfined"}
        elif said.startswith(LOCAL) and said.removeprefix(LOCAL).strip():
            profile = {"type": "Localhost", "localhostProfile": said.removeprefix(LOCAL)}
        if profile and profile != of_pod:
            if container.get("securityContext") is None:
                container["securityContext"] = {}
            container["securityContext"]["appArmorProfile"] = profile


def _validate(pod: Object) -> Sequence[Cause]:
    found = Found()
    metadata = pod.get("metadata") or {}
    spec = pod.get("spec") or {}
    if metadata.get("annotations"):
        validate_pod_annotations(found, metadata["annotations"], spec, "metadata.annotations")
    validate_pod_spec(found, spec, "spec", pod_name=metadata.get("name") or "", is_pod=True)
    if not spec.get("serviceAccountName"):
        for index, volume in enumerate(spec.get("volumes") or ()):
            for place, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
                if source.get("serviceAccountToken") is not None:
                    at = f"spec.volumes[{index}].projected.sources[{place}].serviceAccountToken"
                    found.forbidden(at, "must not be specified when serviceAccountName is not set")
    for key in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(key) or ()):
            validate_image_space(found, container, f"spec.{key}[{index}]")
    return found.causes


def _validate_create(pod: Object) -> Sequence[Cause]:
    found = Found()
    spec = pod.get("spec") or {}
    if spec.get("ephemeralContainers"):
        found.forbidden("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        found.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")
    annotations = (pod.get("metadata") or {}).get("annotations")
    if annotations:
        validate_annotations_match(found, annotations, spec, "spec")
    return found.causes


def _fields(pod: Object) -> dict[str, str]:
    fields = {path: text_of(pod, *keys) for path, *keys in PLAIN_FIELDS}
    fields["spec.hostNetwork"] = "true" if (pod.get("spec") or {}).get("hostNetwork") else "false"
    addresses = (pod.get("status") or {}).get("podIPs")
    fields["status.podIP"] = (addresses[0].get("ip") or "") if addresses else text_of(pod, "status", "podIP")
    return fields


def _grace(pod: Object, asked: Any) -> int:
    """Seconds that the pod gets to end: none if it never ran on a node or has ended."""
    spec, phase = pod.get("spec") or {}, (pod.get("status") or {}).get("phase")
    seconds = spec.get("terminationGracePeriodSeconds") or 0 if asked is None else int(asked)
    if not spec.get("nodeName") or phase in ("Failed", "Succeeded"):
        return 0
    return 1 if seconds < 0 else seconds


def _default_template(template: Object) -> None:
    default_template(template)


def _validate_template(template: Object) -> Sequence[Cause]:
    found = Found()
    validate_template(found, template.get("template") or {}, "template")
    return found.causes


RULES = {
    "Pod": Rules(
        default=default_pod,
        prepare_create=_prepare_create,
        prepare_update=keep_status,
        prepare_status=prepare_status,
        validate=_validate,
        validate_create=_validate_create,
        validate_update=validate_update,
        validate_status=validate_status,
        fields=_fields,
        warnings=pod_warnings,
        warns_on_update=False,
        generation=True,
        grace=_grace,
    ),
    "PodTemplate": Rules(
        default=_default_template,
        validate=_validate_template,
        warnings=lambda object: template_warnings(object.get("template"), "template"),
        create_on_update=True,
        generation=True,
    ),
    "Binding": Rules(validate=validate_binding),
}
