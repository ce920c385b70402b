"""Objects as the forms of -o: the server's table, JSON, YAML, names, templates, columns of one's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from boxship.cli.call import Failure
from boxship.cli.kube.config import Object
from boxship.cli.kube.server import Kind
from boxship.errors import Invalid

GAP = 3
FORMS = "json, yaml, name, wide, jsonpath=TEMPLATE, go-template=TEMPLATE, custom-columns=NAME:PATH,…"


def is_table(form: str) -> bool:
    return form in ("", "wide")


def table_lines(table: Object, wide: bool, labels: bool, namespaces: bool, headers: bool, prefix: str = "") -> str:
    """A server's Table. Columns of priority above 0 are for -o wide."""
    chosen = [index for index, column in enumerate(table["columnDefinitions"]) if wide or not column.get("priority")]
    rows = []
    if headers:
        head = [table["columnDefinitions"][index]["name"].upper() for index in chosen]
        rows.append((["NAMESPACE"] if namespaces else []) + head + (["LABELS"] if labels else []))
    for row in table.get("rows") or []:
        metadata = (row.get("object") or {}).get("metadata") or {}
        cells = [_cell(row["cells"][index]) for index in chosen]
        if prefix and cells:
            cells[0] = prefix + cells[0]
        if namespaces:
            cells.insert(0, metadata.get("namespace", ""))
        if labels:
            marks = metadata.get("labels") or {}
            cells.append(",".join(f"{key}={value}" for key, value in sorted(marks.items())) or "<none>")
        rows.append(cells)
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, with kubectl's gap."""
    widths: list[int] = []
    for row in rows:
        for index, cell in enumerate(row):
            if index == len(widths):
                widths.append(0)
            widths[index] = max(widths[index], len(cell))
    lines = []
    for row in rows:
        padded = [cell.ljust(widths[index] + GAP) for index, cell in enumerate(row[:-1])]
        lines.append("".join(padded) + (row[-1] if row else ""))
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "<none>"
    return str(value).replace("\n", "\\n")


def printer(form: str) -> Callable[[Object, Kind | None], str]:
    """The text of one object, or of a List, for a form that is no table. Raises Failure for a form that is none."""
    name, _, template = form.partition("=")
    if name == "json":
        return lambda made, _: json.dumps(_public(made), indent=4, ensure_ascii=False) + "\n"
    if name == "yaml":
        return _yaml
    if name == "name":
        return _names
    if name == "jsonpath" and template:
        return _jsonpath(template)
    if name == "go-template" and template:
        return _go_template(template)
    if name == "custom-columns" and template:
        return _columns(template)
    raise Failure(f"unable to match a printer suitable for the output format {form!r}: it must be one of {FORMS}")


def _public(made: Object) -> Object:
    """Without managed fields, which nobody wants to read."""
    if made.get("kind", "").endswith("List") and isinstance(made.get("items"), list):
        return {**made, "items": [_public(item) for item in made["items"]]}
    metadata = {key: value for key, value in (made.get("metadata") or {}).items() if key != "managedFields"}
    return {**made, "metadata": metadata} if "metadata" in made else made


def _yaml(made: Object, _: Kind | None) -> str:
    from boxship.wire.yaml_text import write

    return write(_public(made)).decode()


def _items(made: Object) -> list[Object]:
    items = made.get("items")
    return items if isinstance(items, list) and made.get("kind", "").endswith("List") else [made]


def _names(made: Object, kind: Kind | None) -> str:
    lines = []
    for item in _items(made):
        name = item["metadata"]["name"]
        if kind is not None:
            lines.append(kind.shown(name))
            continue
        group = item["apiVersion"].rpartition("/")[0]
        word = item["kind"].lower()
        lines.append(f"{word}.{group}/{name}" if group else f"{word}/{name}")
    return "".join(f"{line}\n" for line in lines)


def _jsonpath(text: str) -> Callable[[Object, Kind | None], str]:
    from boxship.spec.jsonpath import Template, relaxed

    try:
        template = Template(text if "{" in text else relaxed(text))
    except Invalid as error:
        raise Failure(f"error parsing jsonpath {text}, {error}") from None
    return lambda made, _: template.render(made)


def _go_template(text: str) -> Callable[[Object, Kind | None], str]:
    from boxship.cli.template import Template

    template = Template(text)
    return lambda made, _: template.apply(made)


def _columns(text: str) -> Callable[[Object, Kind | None], str]:
    from boxship.spec.jsonpath import Template, printed, relaxed

    columns = []
    for part in text.split(","):
        name, colon, path = part.partition(":")
        if not colon or not path:
            raise Failure(f"unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>")
        columns.append((name, Template(relaxed(path))))

    def render(made: Object, _: Kind | None) -> str:
        rows = [[name for name, _ in columns]]
        for item in _items(made):
            found = [template.find(item) for _, template in columns]
            rows.append(
                [",".join(printed([value]) for value in (each[0] if each else [])) or "<none>" for each in found]
            )
        return aligned(rows)

    return render
