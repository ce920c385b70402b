"""Over a hundred Compose files: the normalised model is the stock program's, and every field of the table is in one."""

from collections.abc import Iterator

import pytest
from compose_cases_kit import (
    CASES,
    CURRENT,
    ENVIRONMENT,
    NEWER,
    STOCK,
    Disk,
    expected_path,
    names,
    ours,
    placed,
    stock,
    wrong_files,
)

from boxship.compose import schema
from boxship.compose.document import Mapping, Node, Scalar, Sequence
from boxship.compose.load import load_model
from boxship.compose.loading import LoadRequest
from boxship.compose.printing import model_text
from boxship.compose.reading import parse
from boxship.compose.schema_project import PROJECT

needs_stock = pytest.mark.skipif(not STOCK.exists(), reason="tools/compose-peers.sh unpacks the stock program")
SAMPLE = 12  # every so many cases one is given to the stock program too
# Cases in which we read more than the newest stock program (text of durations, the specification's defaults), or print
# what it leaves out or breaks: keys of ssh, options of an address driver, what is the default anyway.
OURS_ALONE = {
    "attach-true",
    "build-cache-filter",
    "build-ssh-keys",
    "cpu-durations",
    "devices-long",
    "network-newer",
    "secrets-content",
}


def test_there_are_enough_cases() -> None:
    assert len(names()) + len(names(NEWER)) >= 100


def test_every_case_gives_the_stored_model() -> None:
    wrong = []
    for folder in (CASES, NEWER):
        for name in names(folder):
            expected = placed(expected_path(name, folder).read_text())
            if placed(ours(name, "json", folder)) != expected:
                wrong.append(name)
    assert not wrong


@needs_stock
def test_a_sample_is_printed_as_the_stock_program_prints_it() -> None:
    for index, name in enumerate(names()[::SAMPLE]):
        form = ("yaml", "json", "hash")[index % 3]
        assert ours(name, form) == stock(name, form), f"{name} {form}"


@needs_stock
@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_all_cases_are_printed_as_the_stock_program_prints_them(form: str) -> None:
    wrong = [name for name in names() if ours(name, form) != stock(name, form)]
    assert not wrong


@pytest.mark.skipif(not CURRENT.exists(), reason="tools/compose-peers.sh unpacks the newest stock program")
@pytest.mark.slow
def test_newer_fields_are_read_as_the_newest_stock_program_reads_them() -> None:
    wrong = [
        name
        for name in set(names(NEWER)) - OURS_ALONE
        if placed(ours(name, "json", NEWER)) != placed(stock(name, "json", NEWER, CURRENT))
    ]
    assert not wrong


@needs_stock
@pytest.mark.slow
def test_fingerprints_are_the_stock_programs() -> None:
    # its `config --hash` forgets to read env_file, unlike its `up`
    fingerprinted = [name for name in names() if "env_file" not in (CASES / f"{name}.yaml").read_text()]
    fingerprinted.remove("extends-other-file")
    assert not [name for name in fingerprinted if ours(name, "hash") != stock(name, "hash")]


def test_every_case_can_be_shown_without_its_variables_resolved() -> None:
    for name in names():
        request = LoadRequest(start=str(CASES), files=(f"{name}.yaml",), environment=ENVIRONMENT, interpolate=False)
        model, _ = load_model(request, Disk())
        assert "services:" in model_text(model, "yaml")


def test_every_field_of_the_table_is_in_a_case_or_refused() -> None:
    seen: set[str] = set()
    for folder in (CASES, NEWER):
        for path in [*folder.glob("*.yaml"), *folder.glob("files/*.yaml")]:
            for document in parse(path.read_bytes(), str(path)):
                seen |= set(used(PROJECT, document, ""))
    refused = {path for path, field in table(PROJECT, "") if field.refused}
    for text, message in wrong_files():
        if "unsupported" in message:
            seen |= set(used(PROJECT, parse(text.encode(), "/p")[0], ""))
    assert {path for path, _ in table(PROJECT, "")} - seen == set()
    assert refused <= seen


def table(kind: schema.Kind, path: str) -> Iterator[tuple[str, schema.Field]]:
    """Every field of the table with its path."""
    if isinstance(kind, schema.Either):
        yield from table(kind.other, path)
    elif isinstance(kind, schema.Many | schema.Named):
        yield from table(kind.item, path + ".*")
    elif isinstance(kind, schema.Record):
        for name, field in kind.fields.items():
            yield f"{path}.{name}", field
            yield from table(field.kind, f"{path}.{name}")


def used(kind: schema.Kind, node: Node, path: str) -> Iterator[str]:
    """The paths of the fields that a document sets."""
    if isinstance(kind, schema.Either):
        kind = kind.scalar if isinstance(node, Scalar) else kind.other
    if isinstance(kind, schema.Many):
        for item in node.items if isinstance(node, Sequence) else ():
            yield from used(kind.item, item, path + ".*")
    elif isinstance(node, Mapping):
        for entry in node.entries:
            if isinstance(kind, schema.Named):
                yield from used(kind.item, entry.value, path + ".*")
            elif isinstance(kind, schema.Record) and entry.key in kind.fields:
                yield f"{path}.{entry.key}"
                yield from used(kind.fields[entry.key].kind, entry.value, f"{path}.{entry.key}")
