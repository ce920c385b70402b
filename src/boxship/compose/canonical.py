"""Checks a tree against the table of fields and writes every short form out, in one walk.

The long form keeps the places of what was written, so that later errors name them. It is its own long form again, and
it adds no default that a merge would have to know of. Tags stay; what is tagged `!reset` is not looked at.
It must never look beyond the value at hand: references between parts are `checking`'s, defaults are `normal`'s.
"""

from __future__ import annotations

import re

from boxship.compose import fields, schema
from boxship.compose.canonical_values import bare, cast, checked, like, named, placed, plain_text, scalar
from boxship.compose.document import Entry, FileError, Mapping, Node, Place, Scalar, Sequence
from boxship.compose.schema_project import PROJECT
from boxship.errors import Unsupported

EXTENSION = "x-"
COMPOSITE = (schema.Record, schema.Many, schema.Named, schema.Pairs, schema.Hosts, schema.Either)


def long_form(tree: Mapping, *, interpolated: bool = True, whole: bool = False) -> Mapping:
    """The long form of one document or of a merged tree. With `interpolated` False, text with a `$` in it is left as
    it is; with `whole`, what the table says is required must be there. Raises FileError for the first thing that is
    wrong and names the others after it; Unsupported for a field that this platform does not have."""
    walk = _Walk(interpolated, whole)
    node = walk.record(PROJECT, tree, "")
    if walk.errors:
        first, *others = walk.errors
        raise FileError(first.place, "\n".join([first.reason, *(str(error) for error in others)]))
    if walk.unsupported:
        place, path = walk.unsupported[0]
        raise Unsupported(f"{place}: unsupported: {path}")
    assert isinstance(node, Mapping)
    return node


class _Walk:
    """One walk over a tree: what was wrong is collected, and the node stays as it was."""

    def __init__(self, interpolated: bool, whole: bool) -> None:
        self.interpolated = interpolated
        self.whole = whole
        self.errors: list[FileError] = []
        self.unsupported: list[tuple[Place, str]] = []

    def long(self, kind: schema.Kind, node: Node, path: str) -> Node:
        """The long form of one value."""
        if node.tag == "!reset" or (not isinstance(kind, COMPOSITE) and isinstance(node, Scalar) and self._raw(node)):
            return node
        try:
            return self._long(kind, node, path)
        except FileError as error:
            self.errors.append(error)
        return node

    def _long(self, kind: schema.Kind, node: Node, path: str) -> Node:
        match kind:
            case schema.Record():
                return self.record(kind, node, path)
            case schema.Many():
                return self._many(kind, node, path)
            case schema.Named():
                return self._named(kind, node, path)
            case schema.Pairs():
                return self._pairs(kind, node, path)
            case schema.Hosts():
                return self._hosts(node, path)
            case schema.Words():
                return self._words(kind, node, path)
            case schema.Either():
                return self.long(kind.scalar if isinstance(node, Scalar) else kind.other, node, path)
            case schema.Anything():
                return node
            case schema.Text():
                return self._text(kind, node, path)
        return cast(kind, node, path)

    def record(self, kind: schema.Record, node: Node, path: str) -> Node:
        if isinstance(node, Scalar):
            if kind.null and node.value is None:
                return node
            if kind.short is not None and node.value is not None:
                node = placed(kind.short, node, path)
        if not isinstance(node, Mapping):
            raise FileError(node.place, f"{path or 'the file'}: must be a mapping")
        entries = []
        for entry in node.entries:
            entries.append(self._field(kind, entry, path))
        for name in kind.required:
            if self.whole and node.get(name) is None:
                raise FileError(node.place, f"{path}: {name} is missing")
        return Mapping(tuple(entries), node.place, node.tag)

    def _field(self, kind: schema.Record, entry: Entry, path: str) -> Entry:
        if entry.key.startswith(EXTENSION):
            return entry
        field = kind.fields.get(entry.key)
        inner = f"{path}.{entry.key}" if path else entry.key
        if field is None:
            where = f"{path}: " if path else ""
            reason = f'{where}unknown field "{entry.key}"{fields.meant(entry.key, kind.fields)}'
            self.errors.append(FileError(entry.place, reason))
            return entry
        if field.refused and entry.value.tag != "!reset":
            self.unsupported.append((entry.place, inner))
        return Entry(entry.key, self.long(field.kind, entry.value, inner), entry.place)

    def _many(self, kind: schema.Many, node: Node, path: str) -> Node:
        if isinstance(node, Scalar) and kind.lone and node.value is not None:
            node = Sequence((node,), node.place, node.tag)
        if not isinstance(node, Sequence):
            raise FileError(node.place, f"{path}: must be a list")
        items: list[Node] = []
        for index, item in enumerate(node.items):
            inner = f"{path}[{index}]"
            if kind.split and isinstance(item, Scalar) and self._raw(item):
                items.append(item)
            elif kind.short is not None and isinstance(item, Scalar):
                items += (self.long(kind.item, part, inner) for part in self._short(kind.short, item, inner))
            else:
                items.append(self.long(kind.item, item, inner))
        if kind.unique:
            items = list({item.value if isinstance(item, Scalar) else id(item): item for item in items}.values())
        return Sequence(tuple(items), node.place, node.tag)

    def _short(self, short: schema.Short, item: Scalar, path: str) -> tuple[Node, ...]:
        try:
            return placed(short, item, path)
        except FileError as error:
            self.errors.append(error)
            return ()

    def _raw(self, item: Scalar) -> bool:
        return not self.interpolated and "$" in str(item.value)

    def _named(self, kind: schema.Named, node: Node, path: str) -> Node:
        if isinstance(node, Sequence) and kind.listed is not None:
            listed = []
            for index, item in enumerate(node.items):
                name = scalar(item, f"{path}[{index}]", "a name")
                listed.append(Entry(str(name.value), kind.listed(name), name.place))
            node = Mapping(tuple({entry.key: entry for entry in listed}.values()), node.place, node.tag)
        if not isinstance(node, Mapping):
            raise FileError(node.place, f"{path}: must be a mapping{' or a list' if kind.listed else ''}")
        entries = []
        for entry in node.entries:
            inner = f"{path}.{entry.key}"
            if not re.fullmatch(kind.pattern, entry.key):
                reason = f'{path}: "{entry.key}" is no name: it may hold letters, digits, ".", "_" and "-"'
                self.errors.append(FileError(entry.place, reason))
                continue
            empty = isinstance(entry.value, Scalar) and entry.value.value is None
            value = entry.value if kind.null and empty else self.long(kind.item, entry.value, inner)
            entries.append(Entry(entry.key, value, entry.place))
        return Mapping(tuple(entries), node.place, node.tag)

    def _pairs(self, kind: schema.Pairs, node: Node, path: str) -> Node:
        if isinstance(node, Sequence) and kind.listed:
            pairs: dict[str, Entry] = {}
            for index, item in enumerate(node.items):
                written = scalar(item, f"{path}[{index}]", "NAME=VALUE")
                if not isinstance(written.value, str):
                    raise FileError(written.place, f"{path}[{index}]: must be NAME=VALUE, not {named(written.value)}")
                name, equals, value = written.value.partition("=")
                missing = None if kind.inherit else ""
                pairs[name] = Entry(name, like(written, value if equals else missing), written.place)
            return Mapping(tuple(pairs.values()), node.place, node.tag)
        if not isinstance(node, Mapping):
            raise FileError(node.place, f"{path}: must be a mapping{' or a list of NAME=VALUE' if kind.listed else ''}")
        entries = []
        for entry in node.entries:
            if entry.value.tag == "!reset":
                entries.append(entry)
                continue
            given = scalar(entry.value, f"{path}.{entry.key}", "text, a number, a boolean or nothing")
            inherited = given.value is None and kind.inherit
            entries.append(Entry(entry.key, given if inherited else like(given, plain_text(given.value)), entry.place))
        return Mapping(tuple(entries), node.place, node.tag)

    def _hosts(self, node: Node, path: str) -> Node:
        items: list[Scalar] = []
        if isinstance(node, Mapping):
            for entry in node.entries:
                for each in entry.value.items if isinstance(entry.value, Sequence) else (entry.value,):
                    given, address = self._address(each, f"{path}.{entry.key}", "an address")
                    items.append(like(given, f"{entry.key}={bare(address)}"))
        elif isinstance(node, Sequence):
            for index, item in enumerate(node.items):
                given, text = self._address(item, f"{path}[{index}]", '"name=address"')
                name, found, address = text.partition("=" if "=" in text else ":")
                if not self._raw(given) and not (found and name and address):
                    raise FileError(given.place, f'{path}[{index}]: must be "name=address", not "{text}"')
                items.append(like(given, f"{name}={bare(address)}" if found else text))
        else:
            raise FileError(node.place, f'{path}: must be a mapping or a list of "name=address"')
        unique = {item.value: item for item in items}
        return Sequence(tuple(unique.values()), node.place, node.tag)

    def _address(self, node: Node, path: str, expected: str) -> tuple[Scalar, str]:
        given = scalar(node, path, expected)
        if not isinstance(given.value, str):
            raise FileError(given.place, f"{path}: must be {expected}, not {named(given.value)}")
        return given, given.value

    def _words(self, kind: schema.Words, node: Node, path: str) -> Node:
        if isinstance(node, Sequence):
            words = [scalar(item, f"{path}[{index}]", "text") for index, item in enumerate(node.items)]
            for index, word in enumerate(words):
                if not isinstance(word.value, str):
                    raise FileError(word.place, f"{path}[{index}]: must be text, not {named(word.value)}: quote it")
            return node
        given = scalar(node, path, "text or a list")
        if given.value is None or (not self.interpolated and isinstance(given.value, str)):
            return node
        if not isinstance(given.value, str):
            raise FileError(given.place, f"{path}: must be text or a list, not {named(given.value)}")
        if kind.shell:
            parts: tuple[str, ...] = ("CMD-SHELL", given.value) if given.value else ()
        else:
            parts = checked(fields.words, given.value, given, path)
        return Sequence(tuple(like(given, part, tag="") for part in parts), given.place, given.tag)

    def _text(self, kind: schema.Text, node: Node, path: str) -> Node:
        given = scalar(node, path, "text")
        value = given.value
        if value is None and kind.null:
            return like(given, "")
        if kind.numbers and value is not None:
            value = plain_text(value)
        if not isinstance(value, str):
            quoting = "" if value is None else ": quote it"
            raise FileError(given.place, f"{path}: must be text, not {named(value)}{quoting}")
        if value in kind.refused:
            self.unsupported.append((given.place, f"{path}: {value}"))
        elif kind.choices and value not in kind.choices:
            choices = ", ".join(choice for choice in kind.choices if choice)
            near = fields.meant(value, kind.choices)
            raise FileError(given.place, f'{path}: must be one of {choices}, not "{value}"{near}')
        elif kind.pattern and not re.fullmatch(kind.pattern, value):
            raise FileError(given.place, f'{path}: must be {kind.form}, not "{value}"')
        return like(given, value)
