"""Discovery: which groups, versions and resources there are, in the legacy documents and in the aggregated ones.

Pure: resources in, documents out. The order of groups is the catalogue's, and within a group the preferred version
comes first.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.catalog import storage_hash
from boxship.cluster.objects.resource import Resource

AGGREGATED = "apidiscovery.k8s.io"
AGGREGATED_VERSIONS = ("v2", "v2beta1")
FAR = 1 << 20

encode = msgspec.json.Encoder().encode


class Groups:
    """The resources of one moment by group and version. `ranks` are the built-in groups in their order, each with its
    versions, the preferred one first."""

    def __init__(self, resources: Iterable[Resource], ranks: Mapping[str, Sequence[str]]) -> None:
        found: dict[str, dict[str, list[Resource]]] = {}
        for resource in resources:
            found.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
        order = {group: number for number, group in enumerate(ranks)}
        self.versions: dict[str, dict[str, list[Resource]]] = {}
        for group in sorted(found, key=lambda name: (order.get(name, FAR), name)):
            known = ranks.get(group, ())
            ordered = sorted(found[group], key=lambda version: version_rank(version, known))
            self.versions[group] = {version: found[group][version] for version in ordered}


def version_rank(version: str, known: Sequence[str] = ()) -> tuple[Any, ...]:
    """Sorts the preferred version first: those known in their order, then v2 before v1, v1 before v1beta2, v1beta2
    before v1alpha1, anything else last by its name."""
    if version in known:
        return (0, list(known).index(version))
    major, stage, minor = _parse_version(version)
    if major < 0:
        return (2, 0, 0, 0, version)
    return (1, stage, -major, -minor, version)


def _parse_version(version: str) -> tuple[int, int, int]:
    """Of "v1beta2": 1, 1 (beta; 0 is stable, 2 alpha), 2. (-1, 0, 0) for what is no such version."""
    body = version[1:] if version.startswith("v") else ""
    for stage, word in ((1, "beta"), (2, "alpha")):
        major, found, minor = body.partition(word)
        if found and major.isdecimal() and minor.isdecimal():
            return int(major), stage, int(minor)
    return (int(body), 0, 0) if body.isdecimal() else (-1, 0, 0)


def core_versions(address: str) -> Object:
    """/api: `address` is where this server is reached."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group_list(groups: Groups, extra: Sequence[Object] = ()) -> Object:
    """/apis. `extra` are APIGroups that others serve."""
    own = [group_entry(group, list(versions)) for group, versions in groups.versions.items() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [*own, *extra]}


def group_entry(group: str, versions: Sequence[str]) -> Object:
    entries = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": entries, "preferredVersion": entries[0]}


def one_group(group: str, versions: Sequence[str]) -> Object:
    """/apis/GROUP."""
    return {"kind": "APIGroup", "apiVersion": "v1", **group_entry(group, versions)}


def resource_list(group: str, version: str, resources: Iterable[Resource]) -> Object:
    """/apis/GROUP/VERSION or /api/v1."""
    listed: list[Object] = []
    for resource in sorted(resources, key=lambda each: each.plural):
        listed.append(_legacy(resource))
        listed += [_legacy_part(resource, name) for name in sorted(resource.subresources)]
    name = f"{group}/{version}" if group else version
    head = {"kind": "APIResourceList", **({"apiVersion": "v1"} if group else {}), "groupVersion": name}
    return {**head, "resources": listed}


def _legacy(resource: Resource) -> Object:
    entry: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    known = storage_hash(resource)
    return {**entry, "storageVersionHash": known} if known else entry


def _legacy_part(resource: Resource, name: str) -> Object:
    part = resource.subresources[name]
    entry: Object = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced}
    if part.group or part.version:
        entry |= {"group": part.group, "version": part.version}
    return {**entry, "kind": part.kind or resource.kind, "verbs": sorted(part.verbs)}


def aggregated(groups: Groups, core: bool, version: str, extra: Sequence[Object] = ()) -> Object:
    """The APIGroupDiscoveryList of /api (`core`) or /apis. `extra` are APIGroupDiscovery items that others serve."""
    items = [_group(group, versions) for group, versions in groups.versions.items() if core == (not group)]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"{AGGREGATED}/{version}",
        "metadata": {},
        "items": [*items, *(() if core else extra)],
    }


def _group(group: str, versions: Mapping[str, Sequence[Resource]]) -> Object:
    return {
        "metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None},
        "versions": [
            {
                "version": version,
                "resources": [_resource(each) for each in sorted(resources, key=lambda each: each.plural)],
                "freshness": "Current",
            }
            for version, resources in versions.items()
        ],
    }


def _resource(resource: Resource) -> Object:
    entry: Object = {
        "resource": resource.plural,
        "responseKind": _kind(resource.group, resource.version, resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [_part(resource, name) for name in sorted(resource.subresources)]
    return entry


def _part(resource: Resource, name: str) -> Object:
    part = resource.subresources[name]
    owned = not (part.group or part.version)
    group, version = (resource.group, resource.version) if owned else (part.group, part.version)
    return {
        "subresource": name,
        "responseKind": _kind(group, version, part.kind or resource.kind),
        "verbs": sorted(part.verbs),
    }


def _kind(group: str, version: str, kind: str) -> Object:
    return {"group": group, "version": version, "kind": kind}


def tag_of(data: bytes) -> str:
    """The ETag of a document."""
    return f'"{hashlib.sha256(data).hexdigest().upper()}"'
