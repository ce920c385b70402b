"""YAML text → trees that know where everything stands (`document`): parsed by libyaml into events, built here.

Building it ourselves gives each key and value its line and column, refuses duplicate keys, keeps `!reset` and
`!override`, and holds limits while the text is still being read: no alias can blow up, no nesting exhausts a stack.
Every complaint is a FileError; this module must never let an exception of the YAML library through.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from boxship.compose.document import Entry, FileError, Mapping, Node, Place, Scalar, Sequence
from boxship.compose.scalars import resolve, tagged

FILE_BYTES = 4 * 1024 * 1024  # size of one file
DEPTH_LEVELS = 64  # mappings and sequences within each other
NODES = 200_000  # values in one file, aliases counted as often as they are used

KEPT_TAGS = ("!reset", "!override")
_CORE = "tag:yaml.org,2002:"
_SCALAR_TAGS = ("str", "int", "float", "bool", "null")
_QUOTES = frozenset("'\"|>")
# What libyaml says, and what it means to who wrote the file.
_HINTS = {
    "mapping values are not allowed in this context": "a ':' is not allowed here: check quotes and indentation",
    "did not find expected node content": "a value is expected here",
    "did not find expected key": "a key is expected here: check the indentation",
    "found a tab character that violates indentation": "a tab cannot indent in YAML: use spaces",
    "block sequence entries are not allowed in this context": "a list cannot begin here: put '-' on a line of its own",
    "did not find expected '-' indicator": "an item of a list ('-') is expected here: check the indentation",
    "found character that cannot start any token": "this character cannot begin a text: write the text in quotes",
    "found incompatible YAML document": "this version of YAML is not known: leave the %YAML line out",
}
# The same for what is seen only behind the mistake: told of the place where that began.
_EARLIER = {
    "could not find expected ':'": "a ':' is missing after this key",
    "found unexpected end of stream": "this quote is never closed",
}
_ENCODINGS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def parse(text: bytes, file: str) -> tuple[Mapping, ...]:
    """The documents of a file; empty ones are left out. Raises FileError, Invalid's subclass, alone."""
    if len(text) > FILE_BYTES:
        raise FileError(Place(file), f"the file is larger than {FILE_BYTES} bytes")
    return tuple(_documents(_decode(text, file), file))


def _decode(text: bytes, file: str) -> str:
    encoding = next((name for mark, name in _ENCODINGS.items() if text.startswith(mark)), "utf-8")
    try:
        return text.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = text[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rsplit(b"\n", 1)[-1].decode("utf-8", "replace")) + 1
        place = Place(file, line, column) if encoding == "utf-8" else Place(file)
        raise FileError(place, f"the text is not {encoding.upper().removesuffix('-SIG')}: {error.reason}") from None


def _documents(text: str, file: str) -> Iterator[Mapping]:
    builder = _Builder(text, file)
    for event in builder.events:
        if isinstance(event, yaml.DocumentStartEvent):
            builder.anchors = {}
            node, _ = builder.build(next(builder.events), 0)
            if isinstance(node, Mapping):
                yield node
            elif not isinstance(node, Scalar) or node.value is not None:
                raise FileError(node.place, f"the top level must be a mapping of fields, not {kind_of(node)}")


def kind_of(node: Node) -> str:
    """What a node is, in words for a message: "a mapping", "the text 'x'"."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.value is None:
        return "nothing"
    return f"the text {node.value!r}" if isinstance(node.value, str) else f"the value {node.text or node.value}"


class _Builder:
    """One file being read. A built node comes with its size: how many values it stands for."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.anchors: dict[str, tuple[Node, int] | None] = {}  # None while the node itself is being built
        self.left = NODES
        self.events = self._checked(text)

    def _checked(self, text: str) -> Iterator[Any]:
        """The parser's events; its errors as FileError."""
        try:
            # libyaml wants no lone surrogates; they cannot come from decoded text.
            yield from yaml.parse(text, Loader=yaml.CSafeLoader)
        except yaml.reader.ReaderError as error:
            raise FileError(
                self._offset(error.position), f"the character U+{error.character:04X} is not allowed"
            ) from None
        except yaml.MarkedYAMLError as error:
            raise self._explained(error) from None
        except yaml.YAMLError as error:
            raise FileError(Place(self.file), f"cannot be read as YAML: {error}") from None

    def _offset(self, position: int) -> Place:
        before = self.text.encode()[:position].decode(errors="ignore")  # libyaml counts bytes
        return Place(self.file, before.count("\n") + 1, len(before) - before.rfind("\n"))

    def _place(self, mark: Any) -> Place:
        return Place(self.file, mark.line + 1, mark.column + 1)

    def _explained(self, error: yaml.MarkedYAMLError) -> FileError:
        """The parser's complaint, with the context only where it says where something began."""
        if error.problem in _EARLIER and error.context_mark is not None:
            return FileError(self._place(error.context_mark), _EARLIER[error.problem])
        mark = error.problem_mark or error.context_mark
        if mark is None:
            return FileError(Place(self.file), f"cannot be read as YAML: {error.problem or error.context}")
        line = self.text.split("\n", mark.line + 1)[mark.line] if mark.line <= self.text.count("\n") else ""
        if line[mark.column : mark.column + 1] == "\t":
            return FileError(self._place(mark), "a tab cannot indent in YAML: use spaces")
        reason = _HINTS.get(error.problem or "", f"{error.problem}")
        began = error.context_mark
        if error.context and began is not None and began.line != mark.line:
            reason += f" ({error.context} from line {began.line + 1} on)"
        return FileError(self._place(mark), reason)

    def build(self, event: Any, depth: int) -> tuple[Node, int]:
        """The node that begins with `event`, and its size."""
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        place = self._place(event.start_mark)
        if depth > DEPTH_LEVELS:
            raise FileError(place, f"nested deeper than {DEPTH_LEVELS} levels")
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node, size = self._scalar(event, place), 1
        elif isinstance(event, yaml.SequenceStartEvent):
            node, size = self._sequence(event, place, depth)
        else:
            node, size = self._mapping(event, place, depth)
        self._count(1, place)
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, size)
        return node, size

    def _count(self, values: int, place: Place) -> None:
        self.left -= values
        if self.left < 0:
            raise FileError(place, f"more than {NODES} values (aliases count as often as they are used)")

    def _alias(self, event: Any) -> tuple[Node, int]:
        place = self._place(event.start_mark)
        if event.anchor not in self.anchors:
            raise FileError(place, f"the anchor &{event.anchor} is not defined before this line")
        built = self.anchors[event.anchor]
        if built is None:
            raise FileError(place, f"the anchor &{event.anchor} contains itself")
        self._count(built[1], place)
        return built

    def _tag(self, event: Any, place: Place, kinds: tuple[str, ...]) -> tuple[str, str]:
        """The tag as (kept: "!reset", "!override" or "", kind: a name of the core schema or "")."""
        tag: str = event.tag or ""
        if tag in KEPT_TAGS:
            return tag, ""
        if not tag or tag == "!":
            return "", ""
        kind = tag.removeprefix(_CORE)
        if kind not in kinds:
            shown = f"!!{kind}" if tag.startswith(_CORE) else tag
            raise FileError(
                place, f"unsupported: the tag {shown} here (known are {', '.join(KEPT_TAGS)} and YAML's own)"
            )
        return "", kind

    def _scalar(self, event: Any, place: Place) -> Scalar:
        kept, kind = self._tag(event, place, _SCALAR_TAGS)
        quoted = event.style in _QUOTES
        if kind:
            try:
                value = tagged(kind, event.value)
            except ValueError as error:
                raise FileError(place, str(error)) from None
            return Scalar(value, place, event.value, quoted or kind == "str")
        value = event.value if quoted or event.tag == "!" else resolve(event.value)
        return Scalar(value, place, event.value, quoted, kept)

    def _sequence(self, event: Any, place: Place, depth: int) -> tuple[Sequence, int]:
        kept, _ = self._tag(event, place, ("seq",))
        items: list[Node] = []
        total = 1
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            node, size = self.build(event, depth + 1)
            if node.tag:
                raise FileError(node.place, f"{node.tag} stands for a field, not for one item of a list")
            items.append(node)
            total += size
        return Sequence(tuple(items), place, kept), total

    def _mapping(self, event: Any, place: Place, depth: int) -> tuple[Mapping, int]:
        kept, _ = self._tag(event, place, ("map",))
        entries: list[Entry] = []
        places: dict[str, Place] = {}
        merged: tuple[int, Node] | None = None
        total = 1
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key, key_place, merges = self._key(event)
            if key in places:
                raise FileError(key_place, f"the key {key!r} is already in line {places[key].line}")
            places[key] = key_place
            node, size = self.build(next(self.events), depth + 1)
            total += size
            if merges:
                merged = (len(entries), node)
            else:
                entries.append(Entry(key, node, key_place))
        if merged is not None:
            entries[merged[0] : merged[0]] = _inherited(merged[1], places)
        return Mapping(tuple(entries), place, kept), total

    def _key(self, event: Any) -> tuple[str, Place, bool]:
        """A key's text and place, and whether it is the merge key `<<`."""
        place = self._place(event.start_mark)
        node = self.build(event, 0)[0] if isinstance(event, yaml.ScalarEvent | yaml.AliasEvent) else None
        if not isinstance(node, Scalar):
            raise FileError(place, "a key must be a text, not a list or a mapping")
        merges = isinstance(event, yaml.ScalarEvent) and event.value == "<<" and not node.quoted
        if not isinstance(node.value, str):
            text = node.text or "null"
            raise FileError(place, f"a key must be a text, not {text}: write it in quotes")
        return node.value, place, merges


def _inherited(source: Node, own: dict[str, Place]) -> list[Entry]:
    """What a merge key brings: the entries of a mapping, or of several of which the first ones win."""
    sources = source.items if isinstance(source, Sequence) else (source,)
    found: dict[str, Entry] = {}
    for mapping in sources:
        if not isinstance(mapping, Mapping):
            raise FileError(mapping.place, f"<< takes a mapping or a list of mappings, not {kind_of(mapping)}")
        for entry in mapping.entries:
            if entry.key not in own and entry.key not in found:
                found[entry.key] = entry
    return list(found.values())
