"""From text to a tree: cel-python's grammar and parser, with the syntax that Kubernetes has on top of it (optional
selection `a.?b`, `a[?i]`, `[?x]`, `{?k: v}`, and names in backticks), as nodes of our own that know their place."""

import functools
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from boxship.cluster.objects.cel import kinds, literals
from boxship.cluster.objects.cel.kinds import Kind
from boxship.errors import Invalid

LENGTH_LIMIT = 64 * 1024  # characters
DEPTH_LIMIT = 150


class Literal(msgspec.Struct, frozen=True):
    at: int
    value: Any
    kind: Kind


class Name(msgspec.Struct, frozen=True):
    at: int
    name: str


class Select(msgspec.Struct, frozen=True):
    """`operand.field`; `exact`: in backticks, so not escaped. With `test` it is has(operand.field)."""

    at: int
    operand: "Node"
    field: str
    optional: bool = False
    exact: bool = False
    test: bool = False


class Index(msgspec.Struct, frozen=True):
    at: int
    operand: "Node"
    index: "Node"
    optional: bool = False


class Call(msgspec.Struct, frozen=True):
    """A function, a method (with `target`), or an operator under its name ("_+_")."""

    at: int
    name: str
    target: "Node | None"
    args: tuple["Node", ...]


class Many(msgspec.Struct, frozen=True):
    """A list; `optional` says which items are there only if they have a value."""

    at: int
    items: tuple["Node", ...]
    optional: frozenset[int] = frozenset()


class Mapping(msgspec.Struct, frozen=True):
    """A map's entries: key, value, whether it is optional. With `type_name` an object of that type."""

    at: int
    entries: tuple[tuple["Node", "Node", bool], ...]
    type_name: str = ""


Node = Literal | Name | Select | Index | Call | Many | Mapping

OPERATORS = {
    "relation_lt": "_<_",
    "relation_le": "_<=_",
    "relation_gt": "_>_",
    "relation_ge": "_>=_",
    "relation_eq": "_==_",
    "relation_ne": "_!=_",
    "relation_in": "@in",
    "addition_add": "_+_",
    "addition_sub": "_-_",
    "multiplication_mul": "_*_",
    "multiplication_div": "_/_",
    "multiplication_mod": "_%_",
}
_ADDED = """
member_dot_opt   : member "." "?" IDENT
member_dot_exact : member "." EXACT_IDENT
member_index_opt : member "[" "?" expr "]"
listitems        : listitem ("," listitem)* [","]
listitem         : expr | opt_item
opt_item         : "?" expr
mapentry         : expr ":" expr
mapentry_opt     : "?" expr ":" expr
EXACT_IDENT      : /`[^`\\n]+`/
"""
_CHANGED = {
    "member_object | primary": "member_object | member_dot_opt | member_dot_exact | member_index_opt | primary",
    'list_lit       : "[" [exprlist] "]"': 'list_lit       : "[" [listitems] "]"',
    'mapinits       : expr ":" expr ("," expr ":" expr)*': (
        'mapinits       : (mapentry | mapentry_opt) ("," (mapentry | mapentry_opt))* [","]'
    ),
    'fieldinits     : IDENT ":" expr ("," IDENT ":" expr)*': (
        'fieldinits     : (IDENT | EXACT_IDENT) ":" expr ("," (IDENT | EXACT_IDENT) ":" expr)* [","]'
    ),
}


def failed(text: str, at: int, why: str) -> Invalid:
    """An error as cel-go prints it, with the line and a mark below the place."""
    before = text[:at]
    line, column = before.count("\n") + 1, at - (before.rfind("\n") + 1)
    source = text.splitlines()[line - 1] if text.splitlines()[line - 1 : line] else ""
    return Invalid(f"ERROR: <input>:{line}:{column + 1}: {why}\n | {source}\n | {'.' * column}^")


@functools.cache
def _parser() -> tuple[Any, type[Exception]]:
    """The parser, made at the first use, which takes a tenth of a second. Of cel-python only the grammar is read: its
    own evaluation, which the package's import would bring along, is not needed."""
    import lark

    found = importlib.util.find_spec("celpy")
    if found is None or not found.submodule_search_locations:
        raise Invalid("unsupported: CEL without cel-python")
    grammar = (Path(found.submodule_search_locations[0]) / "cel.lark").read_text()
    for old, new in _CHANGED.items():
        if old not in grammar:
            raise Invalid(f"unsupported: a version of cel-python whose grammar has no {old!r}")
        grammar = grammar.replace(old, new)
    parser = lark.Lark(
        grammar + _ADDED,
        parser="lalr",
        start="expr",
        g_regex_flags=re.MULTILINE,
        lexer_callbacks={"IDENT": _word},
        propagate_positions=True,
        maybe_placeholders=False,
        priority="invert",
    )
    return parser, lark.exceptions.UnexpectedInput


def _word(token: Any) -> Any:
    """The grammar's names include its literals; cel-python's own remedy for that loses their place."""
    kind = {"true": "BOOL_LIT", "false": "BOOL_LIT", "null": "NULL_LIT"}.get(str(token))
    return token.update(type=kind) if kind else token


def parse(text: str) -> Node:
    """The tree of an expression. Raises Invalid with a text like cel-go's."""
    if len(text) > LENGTH_LIMIT:
        raise Invalid(f"expression is longer than {LENGTH_LIMIT} characters")
    parser, unexpected = _parser()
    try:
        return _Reader(text).node(parser.parse(text))
    except unexpected as wrong:
        at = getattr(wrong, "pos_in_stream", None)
        token = getattr(wrong, "token", None)
        if at is None or (token is not None and token.type == "$END"):
            raise failed(text, len(text), "Syntax error: mismatched input '<EOF>'") from None
        shown = str(token) if token is not None else text[at : at + 1]
        raise failed(text, at, f"Syntax error: extraneous input '{shown}'") from None
    except RecursionError:
        raise failed(text, 0, "expression recursion limit exceeded") from None


class _Reader:
    """Reads the parser's tree, in which every level of precedence is a node, into ours."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.depth = 0

    def node(self, tree: Any) -> Node:
        while len(tree.children) == 1 and tree.data not in _LEAVES:
            tree = tree.children[0]
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise failed(self.text, tree.meta.start_pos, f"expression recursion limit exceeded: {DEPTH_LIMIT}")
        found = _READERS[tree.data](self, tree)
        self.depth -= 1
        return found

    def nodes(self, trees: list[Any]) -> tuple[Node, ...]:
        return tuple(self.node(tree) for tree in trees)

    def place(self, tree: Any) -> int:
        return int(tree.meta.start_pos)

    def operator_at(self, left: Any, sign: str) -> int:
        """Where the sign stands behind the left operand."""
        return self.text.index(sign, int(left.meta.end_pos))

    def choice(self, tree: Any) -> Node:
        at = self.operator_at(tree.children[0], "?")
        return Call(at, "_?_:_", None, self.nodes(tree.children))

    def logical(self, tree: Any) -> Node:
        """A chain of || or &&, however long, is one node."""
        kind, sign = tree.data, "||" if tree.data == "conditionalor" else "&&"
        at = self.operator_at(tree.children[0], sign)
        parts = []
        while tree.data == kind and len(tree.children) == 2:
            parts.append(tree.children[1])
            tree = tree.children[0]
        return Call(at, f"_{sign}_", None, self.nodes([tree, *reversed(parts)]))

    def binary(self, tree: Any) -> Node:
        left, right = tree.children
        name = OPERATORS[left.data]
        sign = "in" if name == "@in" else name.strip("_")
        at = self.operator_at(left.children[0], sign)
        return Call(at, name, None, (self.node(left.children[0]), self.node(right)))

    def unary(self, tree: Any) -> Node:
        sign, operand = tree.children
        return Call(self.place(tree), "!_" if sign.data == "unary_not" else "-_", None, (self.node(operand),))

    def dot(self, tree: Any) -> Node:
        operand, name = tree.children
        return Select(int(name.start_pos) - 1, self.node(operand), str(name))

    def dot_optional(self, tree: Any) -> Node:
        operand, name = tree.children
        return Select(int(name.start_pos) - 2, self.node(operand), str(name), optional=True)

    def dot_exact(self, tree: Any) -> Node:
        operand, name = tree.children
        return Select(int(name.start_pos) - 1, self.node(operand), str(name)[1:-1], exact=True)

    def method(self, tree: Any) -> Node:
        operand, name, *rest = tree.children
        at = self.text.index("(", int(name.end_pos))
        return Call(at, str(name), self.node(operand), self.args(rest))

    def function(self, tree: Any) -> Node:
        name, *rest = tree.children
        args = self.args(rest)
        at = self.text.index("(", int(name.end_pos))
        if str(name) == "has":
            if len(args) != 1 or not isinstance(args[0], Select) or args[0].optional:
                raise failed(self.text, at, "invalid argument to has() macro")
            select = args[0]
            return Select(at, select.operand, select.field, exact=select.exact, test=True)
        return Call(at, str(name), None, args)

    def args(self, rest: list[Any]) -> tuple[Node, ...]:
        return self.nodes(rest[0].children) if rest else ()

    def index(self, tree: Any) -> Node:
        operand, index = tree.children
        at = self.operator_at(operand, "[")
        return Index(at, self.node(operand), self.node(index), tree.data == "member_index_opt")

    def name(self, tree: Any) -> Node:
        name = str(tree.children[0])
        if name in kinds.RESERVED:
            raise failed(self.text, self.place(tree), f"reserved identifier: {name}")
        return Name(self.place(tree), name)

    def list(self, tree: Any) -> Node:
        items = tree.children[0].children if tree.children else []
        optional = frozenset(i for i, item in enumerate(items) if item.children[0].data == "opt_item")
        inner = [item.children[0].children[0] if i in optional else item.children[0] for i, item in enumerate(items)]
        return Many(self.place(tree), self.nodes(inner), optional)

    def map(self, tree: Any) -> Node:
        entries = tree.children[0].children if tree.children else []
        pairs = ((*self.nodes(entry.children), entry.data == "mapentry_opt") for entry in entries)
        return Mapping(self.place(tree), tuple((key, value, optional) for key, value, optional in pairs))

    def object(self, tree: Any) -> Node:
        member, *rest = tree.children
        name = "".join(self.text[int(member.meta.start_pos) : int(member.meta.end_pos)].split())
        parts = rest[0].children if rest else []
        entries = [
            (Literal(int(key.start_pos), str(key).strip("`"), kinds.STRING), self.node(value), False)
            for key, value in zip(parts[::2], parts[1::2], strict=True)
        ]
        return Mapping(self.place(tree), tuple(entries), name)

    def literal(self, tree: Any) -> Node:
        token = tree.children[0]
        at, text = int(token.start_pos), str(token)
        try:
            value, kind = literals.READERS[token.type](text)
        except (ValueError, OverflowError) as wrong:
            raise failed(self.text, at, f"invalid {token.type.split('_')[0].lower()} literal: {wrong}") from None
        return Literal(at, value, kind)


_LEAVES = frozenset("literal ident dot_ident ident_arg dot_ident_arg list_lit map_lit member_object".split())
_READERS: dict[str, Callable[[_Reader, Any], Node]] = {
    "expr": _Reader.choice,
    "conditionalor": _Reader.logical,
    "conditionaland": _Reader.logical,
    "relation": _Reader.binary,
    "addition": _Reader.binary,
    "multiplication": _Reader.binary,
    "unary": _Reader.unary,
    "member_dot": _Reader.dot,
    "member_dot_opt": _Reader.dot_optional,
    "member_dot_exact": _Reader.dot_exact,
    "member_dot_arg": _Reader.method,
    "member_index": _Reader.index,
    "member_index_opt": _Reader.index,
    "member_object": _Reader.object,
    "dot_ident_arg": _Reader.function,
    "ident_arg": _Reader.function,
    "dot_ident": _Reader.name,
    "ident": _Reader.name,
    "list_lit": _Reader.list,
    "map_lit": _Reader.map,
    "literal": _Reader.literal,
}
