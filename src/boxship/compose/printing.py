"""Prints a project as the stock program's `config` does: YAML and JSON with the same fields in the same order.

Pure functions from a Project to text. They must never resolve anything: what is printed is what the project holds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import structs

from boxship.compose import parts
from boxship.compose.fields import meant
from boxship.compose.interpolation import Use
from boxship.compose.model import Project, Service
from boxship.compose.printing_order import ALWAYS, ALWAYS_IN_JSON, CAPITALS, ORDER, SIZES
from boxship.compose.printing_yaml import dump
from boxship.errors import Invalid

COLUMN, GAP = 20, 3  # characters of a table's column at least, and between two
SECTIONS = ("services", "networks", "volumes", "secrets", "configs")


def config_yaml(project: Project) -> str:
    """The whole project as YAML; a `$` is doubled, so that the text can be read again."""
    shown: dict[str, Any] = {"name": project.name, "services": {}}
    for section in SECTIONS:
        values = _sorted({name: shown_value(value) for name, value in getattr(project, section).items()})
        if values or section == "services":
            shown[section] = values
    return dump({**shown, **shown_value(project.extensions)}).replace("$", "$$")


def config_json(project: Project) -> str:
    """The whole project as JSON; `x-` fields are shown at the top alone, as the stock program does."""
    shown: dict[str, Any] = {"name": project.name, "services": {}, **shown_value(project.extensions)}
    for section in SECTIONS:
        values = _sorted({name: shown_value(value, in_json=True) for name, value in getattr(project, section).items()})
        if values or section == "services":
            shown[section] = values
    return _json(_sorted(shown)).replace("$", "$$")


def model_text(values: Mapping[str, Any], form: str) -> str:
    """Plain values (what `--no-interpolate` shows) as "yaml" or "json", keys in order, nothing doubled."""
    ordered = shown_value(values)
    return dump(ordered) if form == "yaml" else _json(ordered)


def services_text(project: Project) -> str:
    """The names of the services, each after those it needs."""
    return _lines(in_order(project))


def in_order(project: Project) -> tuple[str, ...]:
    """The names of the enabled services: first what others depend on, else by name."""
    services = project.services
    found: dict[str, None] = {}
    begun: set[str] = set()
    waiting = sorted(services, reverse=True)
    while waiting:
        name = waiting[-1]
        needed = sorted(services[name].depends_on, reverse=True) if name not in begun else ()
        begun.add(name)
        before = [other for other in needed if other in services and other not in begun]
        if before:
            waiting += before
        else:
            found |= {waiting.pop(): None}
    return tuple(found)


def volumes_text(project: Project) -> str:
    return _lines(sorted(project.volumes))


def networks_text(project: Project) -> str:
    return _lines(sorted(project.networks))


def images_text(project: Project) -> str:
    """The image of every service; one that is built without a name has the project's and the service's."""
    return _lines([service.image or f"{project.name}-{name}" for name, service in sorted(project.services.items())])


def profiles_text(project: Project) -> str:
    """Every profile that a service of the project names, enabled or not."""
    services = (*project.services.values(), *project.disabled.values())
    return _lines(sorted({profile for service in services for profile in service.profiles}))


def environment_text(project: Project) -> str:
    return _lines([f"{name}={value}" for name, value in sorted(project.environment.items())])


def hashes_text(project: Project, names: tuple[str, ...], fingerprint: Callable[[Service], str]) -> str:
    """The fingerprints of these services, of all for none. Raises Invalid for a name that there is not."""
    lines = []
    for name in sorted(names or project.services):
        if name not in project.services:
            raise Invalid(f"no such service: {name}{meant(name, project.services)}")
        lines.append(f"{name} {fingerprint(project.services[name])}")
    return _lines(lines)


def variables_text(uses: Iterable[Use]) -> str:
    """The variables that the files speak of, as a table."""
    rows = [("NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE")]
    rows += [(use.name, "true" if use.required else "false", use.default, use.replacement) for use in uses]
    widths = [max(COLUMN, *(len(row[column]) + GAP for row in rows)) for column in range(3)]
    return _lines("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) + row[3] for row in rows)


def with_images(project: Project, resolve: Callable[[str], str]) -> Project:
    """The project with every image named by what `resolve` makes of it (its digest)."""
    services = {
        name: structs.replace(service, image=resolve(service.image)) if service.image else service
        for name, service in project.services.items()
    }
    return structs.replace(project, services=services)


def shown_value(value: Any, *, in_json: bool = False) -> Any:
    """A value of the model as plain values in the order of printing."""
    if isinstance(value, parts.Ulimit):
        if value.single is not None:
            return value.single
        return {"soft": value.soft or 0, "hard": value.hard or 0}
    if isinstance(value, parts.Model):
        return _shown_struct(value, in_json)
    if isinstance(value, Mapping):
        return _sorted({name: shown_value(item, in_json=in_json) for name, item in value.items()})
    if isinstance(value, tuple | list):
        return [shown_value(item, in_json=in_json) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _shown_struct(value: parts.Model, in_json: bool) -> dict[str, Any]:
    kind = type(value)
    defaults = {field.name: field.default for field in structs.fields(kind)}
    present = ALWAYS_IN_JSON.get(kind, {}) if in_json else {}
    shown: dict[str, Any] = {}
    for name in ORDER[kind]:
        item = getattr(value, name)
        key = CAPITALS.get(kind, {}).get(name, name) if in_json else name
        if name == "ssh":
            item = tuple(f"{identity}={path}" if path else identity for identity, path in sorted(item.items()))
        if name not in ALWAYS.get(kind, ()) and _unsaid(item, defaults[name]):
            if name in present:
                shown[key] = present[name]
        elif name in SIZES.get(kind, ()):
            shown[key] = str(item)
        else:
            shown[key] = shown_value(item, in_json=in_json)
    return shown if in_json else {**shown, **shown_value(value.extensions)}


def _unsaid(item: Any, default: Any) -> bool:
    """Whether a field holds nothing to print. One that may be absent (None) is printed whatever else it holds."""
    if default is None:
        return item is None
    return bool(item) if default is True else not item


def _sorted(values: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping with its keys in order, at every level below that is no value of the model."""
    return {key: values[key] for key in sorted(values)}


def _json(values: Mapping[str, Any]) -> str:
    try:
        return escaped(json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False))
    except ValueError:
        raise Invalid("cannot print the project as JSON: it holds a number that JSON does not have") from None


def escaped(text: str) -> str:
    """JSON as the stock program's encoder writes it: what HTML would read is escaped."""
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _lines(values: Any) -> str:
    return "".join(f"{value}\n" for value in values)
