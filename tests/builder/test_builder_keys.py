"""Keys: every field of an operation changes the key, and what must not change it does not."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from boxship.builder.keys import UNCOUNTED, key_of, operation_parts
from boxship.builder.operations import (
    CopyOperation,
    CopySource,
    FolderOperation,
    FolderTree,
    InlineFile,
    LayerTree,
    Operation,
    RunOperation,
    StepMount,
)
from boxship.images.model import Layer
from boxship.spec.container import Resources, Ulimit

BASE = LayerTree((Layer("sha256:b", 1, "sha256:d", "sha256:c", 1),))
OTHERS: dict[str, Any] = {
    "str": "other",
    "bool": True,
    "int": 77,
    "tuple[str, ...]": ("other",),
    "tuple[InlineFile, ...]": (InlineFile("n", b"other"),),
    "tuple[Ulimit, ...]": (Ulimit("nofile", 1, 2),),
    "int | None": 0,
}
COPY = CopyOperation(sources=(CopySource(FolderTree(Path("/c"))),), destination="/d")
FOLDER = FolderOperation(path="/d")
RUN = RunOperation(arguments=("/bin/sh", "-c", "x"), mounts=(StepMount(kind="cache", target="/c"),))


def key(operation: Operation, base: LayerTree = BASE, inputs: tuple[str, ...] | None = None) -> str:
    found = () if isinstance(operation, FolderOperation) else ("sha256:in",)
    return key_of(operation_parts(operation, base, found if inputs is None else inputs))


def other_value(field: msgspec.structs.FieldInfo, now: Any) -> Any:
    """Another value of the field's type."""
    name = getattr(field.type, "__name__", "") if isinstance(field.type, type) and field.type is not tuple else ""
    text = (name or str(field.type)).replace("boxship.builder.operations.", "").replace("boxship.spec.container.", "")
    value = OTHERS[text]
    return (not now) if isinstance(now, bool) else value


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (operation, field.name)
        for operation in (COPY, FOLDER, RUN)
        for field in msgspec.structs.fields(operation)
        if field.name not in UNCOUNTED
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_every_field_counts(operation: Operation, name: str) -> None:
    (field,) = (field for field in msgspec.structs.fields(operation) if field.name == name)
    changed = msgspec.structs.replace(operation, **{name: other_value(field, getattr(operation, name))})
    assert key(changed) != key(operation)


def test_what_is_no_input_does_not_count() -> None:
    for changes in (
        {"resources": Resources(memory=1 << 30)},
        {"cgroup_parent": "/other"},
        {"mounts": (msgspec.structs.replace(RUN.mounts[0], content=b"secret"),)},
    ):
        assert key(msgspec.structs.replace(RUN, **changes)) == key(RUN)
    secret = msgspec.structs.replace(RUN, secrets={"TOKEN": "one"})
    assert key(secret) == key(msgspec.structs.replace(RUN, secrets={"TOKEN": "two"})) != key(RUN)
    elsewhere = msgspec.structs.replace(COPY, sources=(CopySource(FolderTree(Path("/moved"))),))
    assert key(elsewhere) == key(COPY)


def test_mounts_count_but_for_their_content() -> None:
    for field in msgspec.structs.fields(StepMount):
        if field.name in ("tree", "content"):
            continue
        value = other_value(field, getattr(RUN.mounts[0], field.name))
        mount = msgspec.structs.replace(RUN.mounts[0], **{field.name: value})
        assert key(msgspec.structs.replace(RUN, mounts=(mount,))) != key(RUN), field.name


def test_inputs_and_the_base_count() -> None:
    for operation in (COPY, RUN):
        assert key(operation, inputs=("sha256:other",)) != key(operation)
    for operation in (COPY, FOLDER, RUN):
        assert key(operation, LayerTree()) != key(operation)
    assert key(COPY, LayerTree(())) != key(RUN, LayerTree(()))


def test_a_linked_copy_does_not_depend_on_what_is_below() -> None:
    linked = msgspec.structs.replace(COPY, link=True)
    assert key(linked, LayerTree()) == key(linked)
    numbered = msgspec.structs.replace(linked, owner="5:6")
    assert key(numbered, LayerTree()) == key(numbered)
    named = msgspec.structs.replace(linked, owner="5:staff")  # it is looked up below
    assert key(named, LayerTree()) != key(named)


def test_unpacking_counts() -> None:
    unpacked = msgspec.structs.replace(COPY, sources=(CopySource(FolderTree(Path("/c")), unpack=True),))
    assert key(unpacked) != key(COPY)


def test_long_parts_are_told_apart_by_their_end() -> None:
    texts = ["x" * 5000 + end for end in "ab"]
    found = {key(msgspec.structs.replace(RUN, arguments=(text,))) for text in texts}
    assert len(found) == 2
