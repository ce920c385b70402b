"""Variables of containers, and what they and downward volumes may read of the pod.

Source: "Define Environment Variables for a Container", "Downward API", API reference EnvVar, EnvFromSource,
ObjectFieldSelector, ResourceFieldSelector.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from boxship.cluster.objects import names
from boxship.cluster.objects.kinds.checking import Found
from boxship.cluster.objects.kinds.core_paths import validate_local_path
from boxship.cluster.objects.kinds.core_resources import parsed

SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
ENVIRONMENT_FIELDS = frozenset(
    (
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    )
)
VOLUME_FIELDS = frozenset(
    ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
)
# Paths that are fields of a pod at all; others cannot even be read.
POD_FIELDS = ENVIRONMENT_FIELDS | VOLUME_FIELDS | {"spec.restartPolicy", "spec.schedulerName", "status.phase"}
RESOURCE_FIELDS = frozenset(
    f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
HUGEPAGES = ("limits.hugepages-", "requests.hugepages-")
SIZES = frozenset(("1", *(f"1{unit}{binary}" for unit in "KMGTPE" for binary in ("i", "")), "1k")) - {"1K"}
DIVISORS = {
    "cpu": (frozenset(("1m", "1")), "1m and 1 are supported with the cpu resource"),
    "memory": (SIZES, "are supported with the memory resource"),
    "ephemeral-storage": (SIZES, "are supported with the local ephemeral storage resource"),
}
SIZES_SHOWN = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei"
_SUBSCRIPTED = re.compile(r"(.+)\['(.*)'\]")


def validate_environment(
    found: Found, variables: Iterable[Mapping[str, Any]], path: str, volumes: Mapping[str, Mapping[str, Any]]
) -> None:
    for index, variable in enumerate(variables):
        name = variable.get("name")
        if not name:
            found.required(f"{path}[{index}].name")
        else:
            found.because(f"{path}[{index}].name", name, names.environment_name_relaxed(name))
        source = variable.get("valueFrom")
        if source is not None:
            _validate_source(found, source, variable.get("value"), f"{path}[{index}].valueFrom", volumes)


def _validate_source(
    found: Found,
    source: Mapping[str, Any],
    value: str | None,
    path: str,
    volumes: Mapping[str, Mapping[str, Any]],
) -> None:
    count = 0
    for key in SOURCES:
        reference = source.get(key)
        if reference is None:
            continue
        count += 1
        at = f"{path}.{key}"
        if key == "fieldRef":
            validate_field(found, reference, ENVIRONMENT_FIELDS, at)
        elif key == "resourceFieldRef":
            validate_resource_field(found, reference, at)
        elif key == "fileKeyRef":
            _validate_file_key(found, reference, at, volumes)
        else:
            name = reference.get("name") or ""
            found.because(f"{at}.name", name, names.subdomain(name))
            _validate_key(found, reference.get("key"), f"{at}.key")
    if not count:
        listed = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        found.invalid(path, "", f"must specify one of: {listed}")
    elif value:
        found.invalid(path, "", "may not be specified when `value` is not empty")
    elif count > 1:
        found.invalid(path, "", "may not have more than one field specified at a time")


def _validate_key(found: Found, key: str | None, path: str) -> None:
    if not key:
        found.required(path)
    else:
        found.because(path, key, names.config_key(key))


def _validate_file_key(
    found: Found, reference: Mapping[str, Any], path: str, volumes: Mapping[str, Mapping[str, Any]]
) -> None:
    key = reference.get("key")
    if not key:
        found.required(f"{path}.key")
    else:
        found.because(f"{path}.key", key, names.environment_name_relaxed(key))
    volume = reference.get("volumeName")
    if not volume:
        found.required(f"{path}.volumeName")
    elif volume not in volumes:
        found.not_found(f"{path}.volumeName", volume)
    elif volumes[volume].get("emptyDir") is None:
        found.invalid(f"{path}.volumeName", volume, "referenced volume must be of type emptyDir")
    if not reference.get("path"):
        found.required(f"{path}.path")
    else:
        validate_local_path(found, reference["path"], f"{path}.path")


def validate_environment_sources(found: Found, sources: Iterable[Mapping[str, Any]], path: str) -> None:
    for index, source in enumerate(sources):
        prefix = source.get("prefix")
        if prefix:
            found.because(f"{path}[{index}].prefix", prefix, names.environment_name_relaxed(prefix))
        count = 0
        for key in ("configMapRef", "secretRef"):
            if source.get(key) is not None:
                count += 1
                name = source[key].get("name")
                if not name:
                    found.required(f"{path}[{index}].{key}.name")
                else:
                    found.because(f"{path}[{index}].{key}.name", name, names.subdomain(name))
        if not count:
            found.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif count > 1:
            found.invalid(path, "", "may not have more than one field specified at a time")


def validate_field(found: Found, reference: Mapping[str, Any], fields: Collection[str], path: str) -> None:
    """A field of the pod: `fields` are those that may be read here, besides single labels and annotations."""
    for key in ("apiVersion", "fieldPath"):
        if not reference.get(key):
            found.required(f"{path}.{key}")
            return
    field: str = reference["fieldPath"]
    version = reference["apiVersion"]
    subscripted = _SUBSCRIPTED.fullmatch(field)
    if version != "v1":
        found.invalid(f"{path}.fieldPath", field, f"error converting fieldPath: unsupported pod version: {version}")
    elif subscripted is None:
        if field not in POD_FIELDS:
            why = f"error converting fieldPath: field label not supported: {field}"
            found.invalid(f"{path}.fieldPath", field, why)
        elif field not in fields:
            found.unsupported(f"{path}.fieldPath", field, sorted(fields))
    elif subscripted[1] == "metadata.annotations":
        found.because(path, subscripted[2].lower(), names.qualified(subscripted[2].lower()))
    elif subscripted[1] == "metadata.labels":
        found.because(path, subscripted[2], names.qualified(subscripted[2]))
    else:
        why = f"error converting fieldPath: field label does not support subscript: {field}"
        found.invalid(f"{path}.fieldPath", field, why)


def validate_resource_field(found: Found, reference: Mapping[str, Any], path: str, *, volume: bool = False) -> None:
    """A resource of a container, divided by a unit."""
    resource: str = reference.get("resource") or ""
    if volume and not reference.get("containerName"):
        found.required(f"{path}.containerName")
    elif not resource:
        found.required(f"{path}.resource")
    elif resource not in RESOURCE_FIELDS and not resource.startswith(HUGEPAGES):
        found.unsupported(f"{path}.resource", resource, sorted(RESOURCE_FIELDS))
    divisor = parsed(reference.get("divisor"))
    if not divisor.nanos:
        return
    kind = resource.partition(".")[2]
    if kind.startswith("hugepages-"):
        allowed, why = SIZES, "are supported with the hugepages resource"
    elif kind in DIVISORS:
        allowed, why = DIVISORS[kind]
    else:
        return
    if divisor.text not in allowed:
        listed = "" if kind == "cpu" else f"{SIZES_SHOWN} "
        found.invalid(f"{path}.divisor", resource, f"only divisor's values {listed}{why}")
