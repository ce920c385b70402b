"""What a claim for storage may say, in a PersistentVolumeClaim, an ephemeral volume or a StatefulSet.

Source: documentation "Persistent Volumes", "Volume Populators and Data Sources", "Volume Attributes Classes"; API
reference PersistentVolumeClaimSpec.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects import names
from boxship.cluster.objects.kinds.checking import NOT_POSITIVE, Found
from boxship.cluster.objects.kinds.core_resources import parsed
from boxship.cluster.objects.kinds.metadata import validate_annotations, validate_label_selector, validate_labels

Item = Mapping[str, Any]
ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")


def validate_claim_template(found: Found, template: Item, path: str) -> None:
    metadata = template.get("metadata") or {}
    validate_annotations(found, metadata.get("annotations") or {}, f"{path}.metadata.annotations")
    validate_labels(found, metadata.get("labels") or {}, f"{path}.metadata.labels")
    for key, value in metadata.items():
        if key not in ("annotations", "labels") and value:
            found.forbidden(f"{path}.metadata.{key}", "cannot be set")
    validate_claim_spec(found, template.get("spec") or {}, f"{path}.spec")


def validate_access_modes(found: Found, modes: Sequence[str], path: str) -> None:
    for mode in modes:
        if mode not in ACCESS_MODES:
            found.unsupported(path, mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and any(mode in ACCESS_MODES[:3] for mode in modes):
        found.forbidden(path, "may not use ReadWriteOncePod with other access modes")


def validate_class(found: Found, spec: Item, key: str, path: str) -> None:
    if spec.get(key):
        found.because(f"{path}.{key}", spec[key], names.subdomain(spec[key]))


def validate_claim_spec(found: Found, spec: Item, path: str) -> None:
    modes = spec.get("accessModes") or ()
    if not modes:
        found.required(f"{path}.accessModes", "at least 1 access mode is required")
    validate_label_selector(found, spec.get("selector"), f"{path}.selector")
    validate_access_modes(found, modes, f"{path}.accessModes")
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is None:
        found.required(f"{path}.resources[storage]")
    elif parsed(storage).nanos <= 0:
        found.invalid(f"{path}.resources[storage]", parsed(storage).text, NOT_POSITIVE)
    validate_class(found, spec, "storageClassName", path)
    if spec.get("volumeMode") is not None and spec["volumeMode"] not in VOLUME_MODES:
        found.unsupported(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    for key, part in (("dataSource", source), ("dataSourceRef", reference)):
        if part is not None:
            _validate_data_source(found, part, f"{path}.{key}")
    if source is not None and reference is not None:
        if reference.get("namespace"):
            why = "may not be specified when dataSourceRef.namespace is specified"
            found.invalid(path, f"{path}.dataSource", why)
        elif any(source.get(key) != reference.get(key) for key in ("apiGroup", "kind", "name")):
            found.invalid(path, f"{path}.dataSource", "must match dataSourceRef")
    validate_class(found, spec, "volumeAttributesClassName", path)


def _validate_data_source(found: Found, source: Item, path: str) -> None:
    for key in ("name", "kind"):
        if not source.get(key):
            found.required(f"{path}.{key}")
    group, kind = source.get("apiGroup") or "", source.get("kind") or ""
    if not group and kind != "PersistentVolumeClaim":
        found.invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
    if group:
        found.because(f"{path}.apiGroup", group, names.subdomain(group))
    if source.get("namespace"):
        found.because(f"{path}.namespace", source["namespace"], names.label(source["namespace"]))
