"""An object as text that people read: names and labels first, then what it asks for and how it is, then its events.

One walk for every kind, so that kinds we have never heard of are told as well; long secrets are shown by their size.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from boxship.cli.times import parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.kube.config import Object
else:
    Object = dict

HIDDEN = {"managedFields", "name", "namespace", "labels", "annotations", "creationTimestamp"}
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
WIDTH = 14
CONDITION_COLUMNS = ("type", "status", "reason", "message")


def describe(made: Object, events: list[Object] | None) -> str:
    """The whole text, with a line end."""
    metadata = made["metadata"]
    lines = [_field("Name", metadata["name"])]
    if metadata.get("namespace"):
        lines.append(_field("Namespace", metadata["namespace"]))
    lines += _pairs("Labels", metadata.get("labels"))
    marks = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != LAST_APPLIED}
    lines += _pairs("Annotations", marks)
    lines.append(_field("API Version", made["apiVersion"]))
    lines.append(_field("Kind", made["kind"]))
    if metadata.get("creationTimestamp"):
        lines.append(_field("Created", metadata["creationTimestamp"]))
    rest = {key: value for key, value in metadata.items() if key not in HIDDEN}
    if rest:
        lines += ["Metadata:", *_tree(rest, 1)]
    secret = made["kind"] == "Secret"
    for key, value in made.items():
        if key in ("apiVersion", "kind", "metadata"):
            continue
        if secret and key == "data" and isinstance(value, dict):
            lines += ["Data:", *(f"  {name}:  {_size(text)} bytes" for name, text in sorted(value.items()))]
        elif isinstance(value, dict | list):
            lines += [f"{_words(key)}:", *_tree(value, 1)]
        else:
            lines.append(_field(_words(key), str(value)))
    if events is not None:
        lines += _events(events)
    return "".join(f"{line}\n" for line in lines)


def _field(name: str, value: object) -> str:
    return f"{name + ':':<{WIDTH}} {value}"


def _pairs(name: str, pairs: Object | None) -> list[str]:
    if not pairs:
        return [_field(name, "<none>")]
    texts = [f"{key}={value}" for key, value in sorted(pairs.items())]
    return [
        _field(name if index == 0 else "", text).replace(":", "" if index else ":", 1)
        for index, text in enumerate(texts)
    ]


def _words(key: str) -> str:
    """ "serviceAccountName" as "Service Account Name"."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", key)
    return spaced[:1].upper() + spaced[1:]


def _tree(value: object, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "conditions" and isinstance(inner, list) and all(isinstance(each, dict) for each in inner):
                yield f"{indent}Conditions:"
                yield from _conditions(inner, depth + 1)
            elif isinstance(inner, dict | list) and inner:
                yield f"{indent}{_words(str(key))}:"
                yield from _tree(inner, depth + 1)
            else:
                yield f"{indent}{_words(str(key))}:  {_scalar(inner)}"
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, dict | list):
                first, *rest = list(_tree(inner, depth + 1)) or [f"{indent}  {{}}"]
                yield f"{indent}- {first.strip()}"
                yield from rest
            else:
                yield f"{indent}- {_scalar(inner)}"


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or value in ({}, []):
        return "<none>"
    text = str(value)
    return text if "\n" not in text else "\n" + "\n".join(f"    {line}" for line in text.splitlines())


def _size(text: str) -> int:
    """Of what base64 holds."""
    return len(text) * 3 // 4 - text[-2:].count("=")


def _conditions(conditions: list[Object], depth: int) -> Iterator[str]:
    from boxship.cli.kube.printing import aligned

    rows = [[_words(name) for name in CONDITION_COLUMNS]]
    rows += [[str(each.get(name, "")) for name in CONDITION_COLUMNS] for each in conditions]
    for line in aligned(rows).splitlines():
        yield "  " * depth + line


def _events(events: list[Object]) -> list[str]:
    from boxship.cli.kube.printing import aligned

    if not events:
        return [_field("Events", "<none>")]
    rows = [["Type", "Reason", "Age", "From", "Message"]]
    for event in sorted(events, key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or "")):
        source = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
        at = event.get("lastTimestamp") or event.get("eventTime") or ""
        times = int(event.get("count") or 1)
        age = _age(at) + (f" (x{times})" if times > 1 else "")
        rows.append(
            [
                str(event.get("type", "")),
                str(event.get("reason", "")),
                age,
                source,
                str(event.get("message", "")).strip(),
            ]
        )
    return ["Events:", *(f"  {line}" for line in aligned(rows).splitlines())]


def _age(text: str) -> str:
    if not text:
        return "<unknown>"
    seconds = max(0, int(time.time() - parse_time(text) / 1e9))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
