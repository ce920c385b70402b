"""Listings: rows as a table, as JSON, or by a template; the one place that knows how `--format` is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

LEAST_WIDTH = 10  # characters of a column, as Docker's tables
GAP = 3  # spaces between columns
CALLED = ("json", "split", "join", "title", "lower", "upper", "pad", "truncate")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Item = Any
else:
    Item = object


class Column:
    """A field of a listing: its name in templates, its header, and its text for an item; `absent` is what the plain
    table has in place of an empty one."""

    __slots__ = ("absent", "header", "name", "value")

    def __init__(self, name: str, header: str, value: Callable[[Item], object], absent: str = "") -> None:
        self.name = name
        self.header = header
        self.value = value
        self.absent = absent


class Listing:
    """The columns of a kind of thing. `default` names those of the plain table; `methods` are for templates alone
    (`{{.Label "x"}}`); `json_value` is what JSON shows in place of the columns, where Docker does so."""

    def __init__(
        self,
        columns: Sequence[Column],
        default: Sequence[str],
        methods: Mapping[str, Callable[..., object]] | None = None,
        json_value: Callable[[Item], object] | None = None,
    ) -> None:
        self.columns = {column.name: column for column in columns}
        self.default = default
        self.methods = methods or {}
        self.json_value = json_value

    def render(self, items: Iterable[Item], form: str = "") -> str:
        """The text for a `--format` value: "" or "table", "json", "table TEMPLATE" or "TEMPLATE"."""
        if form in ("", "table"):
            chosen = [self.columns[name] for name in self.default]
            rows = [[str(column.value(item)) or column.absent for column in chosen] for item in items]
            return align([[column.header for column in chosen], *rows])
        if form == "json":
            form = "{{json .}}"
        from boxship.cli.template import Row, Template

        tabular = form.startswith("table")  # "table{{.Name}}" is written as well
        source = unescape(form[5:].strip(" ") if tabular else form)
        fields = {name: column.value for name, column in self.columns.items()}
        template = Template(source)
        lines = [
            template.apply(self.json_value(item) if self.json_value else Row(fields, item, self.methods))
            for item in items
        ]
        if not tabular:
            return "".join(f"{line}\n" for line in lines)
        return align([line.split("\t") for line in (self._header(source), *lines)])

    def _header(self, source: str) -> str:
        from boxship.cli.template import Row, Template

        def header_of(column: Column) -> Callable[[object], object]:
            return lambda _: column.header

        # In the header line every function leaves its value as it is.
        same = {name: (lambda *values: next((v for v in values if isinstance(v, str)), "")) for name in CALLED}
        methods = {name: (lambda _, key: str(key).rpartition(".")[2]) for name in self.methods}
        headers = {name: header_of(column) for name, column in self.columns.items()}
        return Template(source, same).apply(Row(headers, None, methods))


def unescape(form: str) -> str:
    """Shells make it hard to type a tab or a line end: `\\t` and `\\n` stand for them."""
    return form.replace("\\t", "\t").replace("\\n", "\n")


def align(rows: Sequence[Sequence[str]], least: int = LEAST_WIDTH) -> str:
    """Rows as lines with their columns under each other; the last cell of a row is not padded."""
    widths: list[int] = []
    for row in rows:
        for index, cell in enumerate(row[:-1]):
            if index == len(widths):
                widths.append(least)
            widths[index] = max(widths[index], len(cell) + GAP)
    lines = []
    for row in rows:
        padded = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        lines.append("".join(padded) + (row[-1] if row else "") + "\n")
    return "".join(lines)


def is_template(form: str) -> bool:
    """Whether the format is neither the plain table nor JSON."""
    return form not in ("", "table", "json")
