"""Writes docs/kubernetes-fields.md: every field of every kind, and whether it is acted upon.

The fields come from the schemas that the API itself reads requests with; what has no effect, or is refused, is told in
tools/kubernetes-fields.toml. A test holds the page to both.

    .venv/bin/python tools/kubernetes_fields.py > docs/kubernetes-fields.md
"""

import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from boxship.cluster.objects.catalog import RESOURCES
from boxship.cluster.objects.schema.builtin import load
from boxship.cluster.objects.schema.types import Form, Type

NOTES = Path(__file__).parent / "kubernetes-fields.toml"
WAYS = ("kept", "refused")
HEAD = """# Every field of every kind

This page is made from the schemas that the API reads requests with (`tools/kubernetes_fields.py`); a test holds it to
them. A field stands under **acted upon** when something in Boxship does what the original's documentation says of it,
under **kept** when it is stored, shown and validated and has no other effect, under **refused** when a request or a pod
that uses it is told so by name. `status` is written by controllers and not listed; `metadata` is the same everywhere
and acted upon in full. A type that several kinds share stands with the first of them.
"""

Notes = Mapping[str, Mapping[str, Mapping[str, str]]]


def types_of(root: Type, known: set[str]) -> Iterator[tuple[str, Type]]:
    """The object types below one kind that were not told yet, in the order in which they are met."""
    while root.form in (Form.LIST, Form.MAP) and root.items is not None:
        root = root.items
    name = root.name.rpartition(".")[2]
    if root.form is not Form.OBJECT or not root.fields or not name or name == "ObjectMeta" or root.name in known:
        return
    known.add(root.name)
    yield name, root
    for field, type_ in root.fields.items():
        if field not in ("metadata", "status"):
            yield from types_of(type_, known)


def told(name: str, root: Type, notes: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """One type's lines."""
    passed = ("apiVersion", "kind", "metadata", "status") if "metadata" in root.fields else ("status",)
    fields = [field for field in root.fields if field not in passed]
    if not fields:
        return
    excepted = {field for way in WAYS for field in notes.get(way, {})}
    yield f"- **{name}**"
    acted = [f"`{field}`" for field in fields if field not in excepted]
    if acted:
        yield f"  - acted upon: {', '.join(acted)}"
    for way in WAYS:
        whys: dict[str, list[str]] = {}
        for field in fields:
            if field in notes.get(way, {}):
                whys.setdefault(notes[way][field], []).append(f"`{field}`")
        for why, names in whys.items():
            yield f"  - {way}: {', '.join(names)}{f' ({why})' if why else ''}"


def page(notes: Notes) -> str:
    with tempfile.TemporaryDirectory() as cache:
        schemas = load(Path(cache))
    lines, known, fields = [HEAD], set[str](), dict[str, set[str]]()
    for resource in RESOURCES:
        found: list[str] = []
        for name, root in types_of(schemas.type_of(resource.group, resource.version, resource.kind), known):
            fields.setdefault(name, set()).update(root.fields)
            found += told(name, root, notes.get(name, {}))
        if found:
            lines += [f"## {resource.kind} (`{resource.api_version}`)", "", *found, ""]
    named = {(name, field) for name, ways in notes.items() for way in ways.values() for field in way}
    if wrong := sorted(f"{name}.{field}" for name, field in named if field not in fields.get(name, ())):
        raise SystemExit(f"{NOTES.name}: there is no {', '.join(wrong)}")
    return "\n".join(lines).rstrip() + "\n"


def read_notes() -> Notes:
    return tomllib.loads(NOTES.read_text())


if __name__ == "__main__":
    print(page(read_notes()), end="")
