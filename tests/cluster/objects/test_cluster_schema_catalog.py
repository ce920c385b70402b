"""The table of built-in resources, held against the definitions of 1.36."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from boxship.cluster.objects import catalog

# Served as parts of other kinds, or as answers, and never as resources of their own.
NOT_RESOURCES = {"DeleteOptions", "WatchEvent", "Scale", "Eviction", "TokenRequest", "Status"}
META = {"APIGroup", "APIGroupList", "APIResourceList", "APIVersions"}


@pytest.fixture(scope="module")
def kinds() -> dict[tuple[str, str], set[str]]:
    spec = importlib.util.find_spec("kubernetes_validate")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "kubernetes-json-schema" / "v1.36.0-local"
    definitions: dict[str, Any] = json.loads((folder / "_definitions.json").read_bytes())["$defs"]
    found: dict[tuple[str, str], set[str]] = {}
    for definition in definitions.values():
        for named in definition.get("x-kubernetes-group-version-kind", ()):
            found.setdefault((named["group"], named["version"]), set()).add(named["kind"])
    return found


def test_every_kind_of_the_stable_groups_is_there_and_nothing_else(kinds: dict[tuple[str, str], set[str]]) -> None:
    for group, versions in catalog.GROUP_VERSIONS.items():
        for version in versions:
            known = {kind for kind in kinds[group, version] if not kind.endswith("List")} - NOT_RESOURCES - META
            ours = {each.kind for each in catalog.RESOURCES if (each.group, each.version) == (group, version)}
            assert ours == known, (group, version)


def test_what_is_stored_can_be_listed(kinds: dict[tuple[str, str], set[str]]) -> None:
    for resource in catalog.RESOURCES:
        listed = f"{resource.kind}List" in kinds[resource.group, resource.version]
        assert listed == ("list" in resource.verbs), resource.path


def test_names_are_found() -> None:
    pods = catalog.built_in("", "v1", "pods")
    assert pods is not None
    assert pods is catalog.of_kind("", "v1", "Pod")
    assert catalog.built_in("", "v1", "pod") is None
    assert catalog.of_kind("apps", "v2", "Deployment") is None


def test_keys_are_the_originals() -> None:
    keys = {each.path: each.storage for each in catalog.RESOURCES}
    assert keys["v1/services"] == "services/specs"
    assert keys["v1/endpoints"] == "services/endpoints"
    assert keys["v1/nodes"] == "minions"
    assert keys["v1/replicationcontrollers"] == "controllers"
    assert keys["networking.k8s.io/v1/ingresses"] == "ingress"
    assert keys["events.k8s.io/v1/events"] == keys["v1/events"] == "events"
    assert keys["autoscaling/v1/horizontalpodautoscalers"] == keys["autoscaling/v2/horizontalpodautoscalers"]
    stored = {each.storage: each.storage_version for each in catalog.RESOURCES}
    assert len({(each.storage, each.storage_version) for each in catalog.RESOURCES}) == len(stored)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("v1/configmaps", "qFsyl6wFWjQ="),
        ("v1/pods", "xPOwRZ+Yhw8="),
        ("networking.k8s.io/v1/ingresses", "39NQlfNR+bo="),
        ("networking.k8s.io/v1/networkpolicies", "YpfwF18m1G8="),
        ("certificates.k8s.io/v1/certificatesigningrequests", "95fRKMXA+00="),
        ("v1/bindings", ""),
    ],
)
def test_storage_hashes_are_the_originals(path: str, expected: str) -> None:
    (resource,) = (each for each in catalog.RESOURCES if each.path == path)
    assert catalog.storage_hash(resource) == expected
