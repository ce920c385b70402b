"""Large answers in the forms that people read: YAML, and JSON with line breaks, piece by piece; and objects whose parts
are very many."""

import json
import random
import time
from collections.abc import AsyncIterator, Mapping

import msgspec
import pytest
import yaml

from boxship.cluster.api.checks import check_same_place, drop_double_owners
from boxship.cluster.api.gate import Gate, Visit
from boxship.cluster.api.request import Ask, Decision, Request, User
from boxship.cluster.objects.catalog import RESOURCES
from boxship.cluster.objects.custom.defaulting import put_defaults
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.schema.types import Form, Type
from boxship.doors.kube.door import NOBODY
from boxship.doors.kube.shaping import pretty_pieces, yaml_of, yaml_pieces
from boxship.wire.yaml_quick import write_quickly
from boxship.wire.yaml_text import read

TEXTS = (
    "",
    "yes",
    "no",
    "0x10",
    "1e3",
    "-",
    "a: b",
    "a #b",
    "line\nline\n",
    "\u2028x\x85\ufeff\x7f",
    "tab\t",
    "\U0001f600",
    "~",
    "<<",
    "2026-11-22",
    "a/b.c=d",
    "null",
    ".inf",
    " x ",
    "'",
    '"',
    "\\",
    "\0",
    "k" * 2000,
    "é",
    "@",
)


def a_value(source: random.Random, depth: int = 0) -> object:
    kind = source.randrange(9 if depth < 5 else 6)
    if kind < 3:
        return source.choice(TEXTS)
    if kind < 6:
        return source.choice((None, True, False, 0, -5, 2**63, 1.5, 1e22, 1e-7, -0.0))
    if kind < 7:
        return [a_value(source, depth + 1) for _ in range(source.randrange(4))]
    return {source.choice(TEXTS): a_value(source, depth + 1) for _ in range(source.randrange(5))}


def test_quick_yaml_is_read_as_what_was_written() -> None:
    source = random.Random(5)
    for _ in range(1500):
        value = a_value(source)
        text = write_quickly(value)
        assert yaml.load(text, Loader=yaml.CSafeLoader) == value, text
        assert read(text)[0] == value, text


def a_list(count: int) -> tuple[dict[str, object], list[bytes]]:
    items = [{"metadata": {"name": f"n{number}", "labels": {"a": "[1]\n  ]\n}"}}} for number in range(count)]
    whole: dict[str, object] = {
        "kind": "PodList",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": "7"},
        "items": items,
    }
    head = b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":['
    encoded = [msgspec.json.encode(item) for item in items]
    middle = count // 3
    pieces = [head + b",".join(encoded[:middle]), b"," + b",".join(encoded[middle : 2 * middle])]
    return whole, [*pieces, b"," + b",".join(encoded[2 * middle :]) + b"]}"]


async def one_by_one(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_a_list_in_pieces_is_one_document() -> None:
    whole, pieces = a_list(30)
    assert json.loads(b"".join([part async for part in pretty_pieces(one_by_one(pieces))])) == whole
    assert read(b"".join([part async for part in yaml_pieces(one_by_one(pieces))]))[0] == whole
    ended = [*pieces[:-1], pieces[-1].removesuffix(b"]}"), b"]}"]  # its last piece has no items
    text = b"".join([part async for part in pretty_pieces(one_by_one(ended))])
    assert json.loads(text) == whole and text == msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
    assert read(b"".join([part async for part in yaml_pieces(one_by_one(ended))]))[0] == whole
    assert read(await yaml_of(msgspec.json.encode(whole)))[0] == whole


def test_very_many_owners_are_compared_at_once() -> None:
    owners = [{"uid": str(number % 19_000), "name": "a", "kind": "B"} for number in range(19_001)]
    metadata = {"ownerReferences": owners}
    request = Request(NOBODY, "create", RESOURCES[0], warn=[])
    began = time.process_time()
    drop_double_owners(metadata, request)
    assert time.process_time() - began < 2
    assert metadata["ownerReferences"] == owners[:-1] and len(request.warn) == 1


def test_defaults_do_not_grow_beyond_what_clients_may_send() -> None:
    big = Type(Form.OBJECT, fields={"b": Type(Form.STRING, default="x" * 100_000)})
    some: list[dict[str, str]] = [{} for _ in range(30)]
    put_defaults(some, Type(Form.LIST, items=big))
    assert all(len(item["b"]) == 100_000 for item in some)
    with pytest.raises(Failure, match="the defaults of its schema"):
        put_defaults([{} for _ in range(30_000)], Type(Form.LIST, items=big))


def test_admission_moves_nothing() -> None:
    given = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "default"}}
    check_same_place({**given, "data": {"a": "b"}}, given)
    for changed in (
        {**given, "kind": "Secret"},
        {**given, "apiVersion": "v2"},
        {**given, "metadata": {"name": "a", "namespace": "kube-system"}},
        {**given, "metadata": {"name": "b", "namespace": "default"}},
        {**given, "metadata": {"name": "a"}},
    ):
        with pytest.raises(Failure):
            check_same_place(changed, given)


class PathsOnly:
    """Knows one user, who may ask for every path and for no resource. Implements Authentication and Authorization."""

    async def authenticate(self, headers: Mapping[str, list[str]], certificate: bytes | None) -> User:
        return User("bob")

    async def impersonate(self, user: User, headers: Mapping[str, list[str]], authorizer: object) -> User:
        return user

    async def authorize(self, ask: Ask) -> Decision:
        return Decision(bool(ask.path), "")

    def refusal(self, ask: Ask, decision: Decision) -> Failure:
        return Failure(403, "Forbidden", decision.reason)


async def test_a_role_for_paths_does_not_open_the_history() -> None:
    known = PathsOnly()
    gate = Gate(None, known, known)  # type: ignore[arg-type]  # no resource is asked for
    async with gate.pass_path(Visit("a", "GET", "/metrics", {}), "/metrics"):
        pass
    with pytest.raises(Failure, match="all verbs of all resources"):
        async with gate.pass_path(Visit("a", "GET", "/boxship/history", {}), "/boxship/history", everything=True):
            pass
