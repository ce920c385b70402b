"""The types of built-in kinds, and the cache that they come from."""

from pathlib import Path

import pytest

from boxship.cluster.objects.catalog import RESOURCES
from boxship.cluster.objects.schema import builtin
from boxship.cluster.objects.schema.types import Form, Type
from boxship.errors import NotFound


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> builtin.Schemas:
    return builtin.load(tmp_path_factory.mktemp("schemas"))


def inside(type_: Type, path: str) -> Type:
    for part in path.split("."):
        inner = type_.fields[part] if type_.form is Form.OBJECT else type_.items
        assert inner is not None
        type_ = inner
    return type_


def test_every_resource_has_a_type(schemas: builtin.Schemas) -> None:
    for resource in RESOURCES:
        type_ = schemas.type_of(resource.group, resource.version, resource.kind)
        assert type_.form is Form.OBJECT
        assert "metadata" in type_.fields
        for part in resource.subresources.values():
            if part.kind and not part.kind.endswith("Options"):
                assert schemas.knows(part.group or resource.group, part.version or resource.version, part.kind)


def test_unknown_kinds_are_refused(schemas: builtin.Schemas) -> None:
    with pytest.raises(NotFound, match="cannot find the schema of Pod in core/v2"):
        schemas.type_of("", "v2", "Pod")


def test_lists_know_how_they_merge(schemas: builtin.Schemas) -> None:
    pod = schemas.type_of("", "v1", "Pod")
    containers = inside(pod, "spec.containers")
    assert (containers.list_type, containers.list_keys) == ("map", ("name",))
    assert (containers.patch_strategy, containers.patch_key) == (("merge",), "name")
    ports = inside(pod, "spec.containers.item.ports")
    assert (ports.list_keys, ports.patch_key) == (("containerPort", "protocol"), "containerPort")
    assert inside(pod, "metadata.finalizers").list_type == "set"
    assert inside(pod, "spec.containers.item.args").list_type == "atomic"
    assert inside(pod, "spec.nodeSelector").atomic
    assert inside(pod, "spec.volumes").patch_strategy == ("merge", "retainKeys")
    deployment = schemas.type_of("apps", "v1", "Deployment")
    assert inside(deployment, "spec.strategy").patch_strategy == ("retainKeys",)
    assert (
        inside(deployment, "spec.strategy").fields is schemas.definition("io.k8s.api.apps.v1.DeploymentStrategy").fields
    )
    assert inside(deployment, "spec.selector").atomic
    volume = schemas.type_of("", "v1", "PersistentVolume")
    assert not inside(volume, "spec.claimRef").atomic
    assert schemas.definition("io.k8s.api.core.v1.ObjectReference").atomic


def test_forms_are_those_of_the_wire(schemas: builtin.Schemas) -> None:
    pod = schemas.type_of("", "v1", "Pod")
    assert inside(pod, "metadata.creationTimestamp").form is Form.TIME
    assert inside(pod, "metadata.managedFields.item.fieldsV1").form is Form.ANY
    assert inside(pod, "spec.containers.item.resources.limits.key").form is Form.QUANTITY
    assert inside(pod, "spec.containers.item.livenessProbe.httpGet.port").form is Form.INT_OR_STRING
    assert (inside(pod, "spec.priority").form, inside(pod, "spec.priority").format) == (Form.INTEGER, "int32")
    assert inside(schemas.type_of("", "v1", "Secret"), "data.key").form is Form.BYTES
    assert inside(schemas.type_of("coordination.k8s.io", "v1", "Lease"), "spec.renewTime").form is Form.MICRO_TIME
    assert inside(schemas.type_of("apps", "v1", "ControllerRevision"), "data").form is Form.ANY
    assert pod.fields["spec"].required == ("containers",)


def test_a_definition_may_contain_itself(schemas: builtin.Schemas) -> None:
    definition = schemas.type_of("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    properties = inside(definition, "spec.versions.item.schema.openAPIV3Schema")
    assert inside(properties, "properties.any.properties.any").fields is properties.fields
    items = inside(properties, "items").items
    assert items is not None
    assert items.fields is properties.fields


def test_types_are_shared(schemas: builtin.Schemas) -> None:
    template = inside(schemas.type_of("apps", "v1", "Deployment"), "spec.template.spec")
    assert template.fields is schemas.type_of("", "v1", "Pod").fields["spec"].fields


def test_the_cache_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builtin.load(tmp_path)
    monkeypatch.setattr(builtin, "compile_definitions", lambda _: pytest.fail("the cache is not used"))
    assert builtin.load(tmp_path).knows("", "v1", "Pod")


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "older", "junk"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, damage: str) -> None:
    builtin.load(tmp_path)
    path = tmp_path / builtin.FILE_NAME
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[-1000] ^= 1
    bad = {"cut": good[:-5], "flip": bytes(flipped), "empty": b"", "older": b"v1.35.0" + good[7:], "junk": b"\xff" * 99}
    path.write_bytes(bad[damage])
    assert builtin.load(tmp_path).type_of("", "v1", "Pod").fields
    assert path.read_bytes() == good


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert builtin.load(tmp_path / "file" / "below").knows("apps", "v1", "Deployment")
    assert builtin.load(None).knows("apps", "v1", "Deployment")
