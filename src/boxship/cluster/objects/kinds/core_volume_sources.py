"""Where a volume's content comes from: the sources that pods and PersistentVolumes share, as one table.

Source: documentation "Volumes" and "Persistent Volumes"; API reference Volume, PersistentVolumeSpec. The odd paths
(`persistentDisk`, `targetportal`) are the original's.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from boxship.cluster.objects import names
from boxship.cluster.objects.kinds.checking import Found
from boxship.cluster.objects.kinds.core_paths import validate_no_backsteps

Source = Mapping[str, Any]
PARTITION_TEXT = "must be between 1 and 255, inclusive"
LUN_TEXT = "must be between 0 and 255, inclusive"
HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
PORTAL_TEXT = (
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters "
    "if iscsi.initiatorName is specified."
)
DRIVER_LENGTH = 63
_ISCSI = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)$", re.ASCII),
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}$", re.ASCII),
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}$", re.ASCII),
}


class Kind(msgspec.Struct, frozen=True):
    """One kind of source: the fields it must have, and what else is asked of it. `path`: where its errors stand."""

    needs: tuple[str, ...] = ()
    check: Callable[[Found, Source, str], None] | None = None
    path: str = ""
    secret: bool = False  # secretRef has a name, and in a PersistentVolume a namespace


def validate_source(found: Found, key: str, source: Source, path: str, *, persistent: bool) -> None:
    """The source `key` of a volume at `path`."""
    kind = SOURCES.get(key)
    if kind is None:
        return
    at = f"{path}.{kind.path or key}"
    for need in kind.needs:
        if not source.get(need):
            found.required(f"{at}.{need}")
    if kind.check is not None:
        kind.check(found, source, at)
    if kind.secret and source.get("secretRef") is not None:
        for need in ("name", "namespace") if persistent else ("name",):
            if not source["secretRef"].get(need):
                found.required(f"{at}.secretRef.{need}")


def _host_path(found: Found, source: Source, path: str) -> None:
    place = source.get("path")
    if not place:
        return
    validate_no_backsteps(found, place, f"{path}.path")
    kind = source.get("type")
    if kind is not None and kind not in HOST_PATH_TYPES:
        found.unsupported(f"{path}.type", kind, HOST_PATH_TYPES)


def _local(found: Found, source: Source, path: str) -> None:
    validate_no_backsteps(found, source.get("path") or "", f"{path}.path")


def _git(found: Found, source: Source, path: str) -> None:
    directory = source.get("directory") or ""
    if directory.startswith("/"):
        found.invalid(f"{path}.directory", directory, "must be a relative path")
    validate_no_backsteps(found, directory, f"{path}.directory")


def _disk(found: Found, source: Source, path: str) -> None:
    partition = source.get("partition") or 0
    if not 0 <= partition <= 255:
        found.invalid(f"{path}.partition", partition, PARTITION_TEXT)


def _nfs(found: Found, source: Source, path: str) -> None:
    place = source.get("path") or ""
    if not place.startswith("/"):
        found.invalid(f"{path}.path", place, "must be an absolute path")


def _iscsi_name(found: Found, name: str, path: str) -> None:
    shape = _ISCSI.get(name[:3])
    if shape is None:
        found.invalid(path, name, "must be valid format starting with iqn, eui, or naa")
    elif not shape.search(name):
        found.invalid(path, name, "must be valid format")


def _iscsi(found: Found, source: Source, path: str) -> None:
    if source.get("iqn"):
        _iscsi_name(found, source["iqn"], f"{path}.iqn")
    lun = source.get("lun") or 0
    if not 0 <= lun <= 255:
        found.invalid(f"{path}.lun", lun, LUN_TEXT)
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        found.required(f"{path}.secretRef")
    if source.get("initiatorName") is not None:
        _iscsi_name(found, source["initiatorName"], f"{path}.initiatorname")


def _fibre(found: Found, source: Source, path: str) -> None:
    targets, wide = source.get("targetWWNs"), source.get("wwids")
    if not targets and not wide:
        found.required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if targets and wide:
        found.invalid(f"{path}.targetWWNs", targets, "targetWWNs and wwids can not be specified simultaneously")
    if targets:
        lun = source.get("lun")
        if lun is None:
            found.required(f"{path}.lun", "lun is required if targetWWNs is specified")
        elif not 0 <= lun <= 255:
            found.invalid(f"{path}.lun", lun, LUN_TEXT)


def _quobyte(found: Found, source: Source, path: str) -> None:
    registry, tenant = source.get("registry") or "", source.get("tenant") or ""
    why = "must be a host:port pair or multiple pairs separated by commas"
    if not registry:
        found.required(f"{path}.registry", why)
    elif len(tenant) > 64:
        found.required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters")
    else:
        for pair in registry.split(","):
            if not re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*):[^:\[\]]*", pair):
                found.invalid(f"{path}.registry", registry, why)


def _flocker(found: Found, source: Source, path: str) -> None:
    name, uuid = source.get("datasetName") or "", source.get("datasetUUID") or ""
    if not name and not uuid:
        found.required(path, "one of datasetName and datasetUUID is required")
    if name and uuid:
        found.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in name:
        found.invalid(f"{path}.datasetName", name, "must not contain '/'")


def _flex(found: Found, source: Source, path: str) -> None:
    for key in source.get("options") or {}:
        owner = "." + key.partition("/")[0].lower()
        if owner.endswith((".kubernetes.io", ".k8s.io")):
            found.invalid(f"{path}.options[{key}]", key, "kubernetes.io and k8s.io namespaces are reserved")


def _azure_file(found: Found, source: Source, path: str) -> None:
    if source.get("secretNamespace") == "":
        found.required(f"{path}.secretNamespace")


def _azure_disk(found: Found, source: Source, path: str) -> None:
    kind, uri = source.get("kind"), source.get("diskURI") or ""
    caching = source.get("cachingMode")
    if caching not in (None, "None", "ReadOnly", "ReadWrite"):
        found.unsupported(f"{path}.cachingMode", caching, ("None", "ReadOnly", "ReadWrite"))
    if kind not in (None, "Dedicated", "Managed", "Shared"):
        found.unsupported(f"{path}.kind", kind, ("Dedicated", "Managed", "Shared"))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        shape = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
        found.unsupported(f"{path}.diskURI", uri, (shape,))
    if kind not in (None, "Managed") and not uri.startswith("https://"):
        shape = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
        found.unsupported(f"{path}.diskURI", uri, (shape,))


def _storageos(found: Found, source: Source, path: str) -> None:
    for key in ("volumeName", "volumeNamespace"):
        if source.get(key):
            found.because(f"{path}.{key}", source[key], names.label(source[key]))


def _glusterfs(found: Found, source: Source, path: str) -> None:
    namespace = source.get("endpointsNamespace")
    if namespace == "":
        why = "if the endpointnamespace is set, it must be a valid namespace name"
        found.invalid(f"{path}.endpointsNamespace", namespace, why)
    elif namespace:
        found.because(f"{path}.endpointsNamespace", namespace, names.label(namespace))


def validate_driver(found: Found, driver: str, path: str) -> None:
    """The name of a CSI driver."""
    if not driver:
        found.required(path)
    if len(driver) > DRIVER_LENGTH:
        found.too_long(path, DRIVER_LENGTH)
    found.because(path, driver, names.subdomain(driver.lower()))


SOURCES: dict[str, Kind] = {
    "hostPath": Kind(("path",), _host_path),
    "gitRepo": Kind(("repository",), _git),
    "gcePersistentDisk": Kind(("pdName",), _disk, "persistentDisk"),
    "awsElasticBlockStore": Kind(("volumeID",), _disk),
    "nfs": Kind(("server", "path"), _nfs),
    "iscsi": Kind(("targetPortal", "iqn"), _iscsi),
    "glusterfs": Kind(("endpoints", "path"), _glusterfs),
    "flocker": Kind((), _flocker),
    "persistentVolumeClaim": Kind(("claimName",)),
    "rbd": Kind(("monitors", "image")),
    "cinder": Kind(("volumeID",), secret=True),
    "cephfs": Kind(("monitors",)),
    "quobyte": Kind(("volume",), _quobyte),
    "fc": Kind((), _fibre),
    "flexVolume": Kind(("driver",), _flex),
    "azureFile": Kind(("secretName", "shareName"), _azure_file),
    "vsphereVolume": Kind(("volumePath",)),
    "photonPersistentDisk": Kind(("pdID",)),
    "portworxVolume": Kind(("volumeID",)),
    "azureDisk": Kind(("diskName", "diskURI"), _azure_disk),
    "storageos": Kind(("volumeName",), _storageos, secret=True),
    "scaleIO": Kind(("gateway", "system", "volumeName")),
    "local": Kind(("path",), _local),
}
