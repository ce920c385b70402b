"""Files in, a Project out: gather, check, write everything out, convert.

All errors come before anything else is touched, with the file and the line. It must never talk to an engine.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from boxship.compose import canonical, schema
from boxship.compose.checking import check, check_enabled
from boxship.compose.checking_builds import check_builds
from boxship.compose.checking_grants import check_grants, digests
from boxship.compose.document import Mapping
from boxship.compose.fields import meant
from boxship.compose.files import Files
from boxship.compose.gathering import Gathered
from boxship.compose.loading import LoadRequest, gather
from boxship.compose.model import Project
from boxship.compose.normal import converted, plain, project_of
from boxship.compose.normal_environment import resolve, resolve_files
from boxship.compose.schema_project import PROJECT
from boxship.compose.trees import nodes_of, section, text_of
from boxship.errors import Invalid

ALL_PROFILES = "*"


class Options(Struct, frozen=True, kw_only=True):
    """`services` are named by the user: they are enabled together with their profiles. `grants` are to be there: the
    files and variables of secrets and configurations that the named services (or all) need, for whoever is about to
    start them; so are `builds`, their folders and Dockerfiles, for whoever is about to build. The others switch steps
    off: defaults and names, checks of the whole, what env_file and label_file hold."""

    services: tuple[str, ...] = ()
    grants: bool = False
    builds: bool = False
    normalize: bool = True
    consistency: bool = True
    resolve_environment: bool = True


def load(request: LoadRequest, files: Files, options: Options | None = None) -> Project:
    """The normalised project, with everything that the files declare; `normal.used` leaves out what nothing uses.
    Raises FileError, NotFound, Invalid, Unsupported."""
    options = options or Options()
    gathered = gather(request, files)
    tree = canonical.long_form(gathered.tree, interpolated=request.interpolate, whole=True)
    profiles = active_profiles(tree, gathered.profiles, options.services)
    enabled = enabled_services(tree, profiles)
    if options.consistency:
        check(tree)
        check_enabled(tree, enabled)
    if options.builds:
        check_builds(tree, options.services or enabled, files)
    if options.grants:
        check_grants(tree, options.services or enabled, files, gathered.environment)
    folder = gathered.directory if request.resolve_paths else "."
    model = project_of(plain(PROJECT, tree), gathered.name, folder, normalize=options.normalize)
    places = {entry.key: entry.value for entry in section(tree, "services").entries}
    for name, service in model["services"].items():
        resolve(service, gathered.environment)
        place = places[name]
        if options.resolve_environment and name in enabled and isinstance(place, Mapping):
            resolve_files(f"services.{name}", service, place, files, gathered.environment)
    if options.grants:
        for kind in ("secrets", "configs"):
            digests(model[kind], files, gathered.environment)
    everything = model["services"]
    model |= {
        "services": {name: service for name, service in everything.items() if name in enabled},
        "disabled": {name: service for name, service in everything.items() if name not in enabled},
        "profiles": gathered.profiles,
        "directory": gathered.directory,
        "files": gathered.files,
        "environment": dict(gathered.environment),
        "warnings": (*gathered.warnings, *notices(tree)),
        "places": places_of(tree),
    }
    return converted(model)


def load_model(request: LoadRequest, files: Files) -> tuple[dict[str, Any], Gathered]:
    """The merged files as plain values with names and defaults: for texts that still hold their variables, which no
    typed project could. All services are there, for a profile may be a variable. The variables that the files speak of
    are in `Gathered.uses`."""
    gathered = gather(request, files)
    tree = canonical.long_form(gathered.tree, interpolated=request.interpolate, whole=True)
    folder = gathered.directory if request.resolve_paths else "."
    model = project_of(plain(schema.Anything(), tree), gathered.name, folder, normalize=True)
    return {key: value for key, value in model.items() if value}, gathered


def active_profiles(tree: Mapping, profiles: tuple[str, ...], services: tuple[str, ...]) -> set[str]:
    """The profiles that were asked for, and those of the services that were named."""
    active = set(profiles)
    everything = section(tree, "services")
    for name in services:
        if everything.get(name) is None:
            raise Invalid(f"no such service: {name}{meant(name, everything.keys())}")
        active |= {text_of(profile) for profile in nodes_of(section(everything, name).get("profiles"))}
    return active


def enabled_services(tree: Mapping, profiles: set[str]) -> set[str]:
    """Services without profiles, and those of which one profile is active."""
    found = set()
    for entry in section(tree, "services").entries:
        own = nodes_of(entry.value.get("profiles")) if isinstance(entry.value, Mapping) else ()
        if not own or ALL_PROFILES in profiles or any(text_of(profile) in profiles for profile in own):
            found.add(entry.key)
    return found


def places_of(tree: Mapping) -> dict[str, str]:
    """Where networks, volumes and builds are declared: what is refused later, by what is there, names its line too."""
    found = {
        f"{kind}.{entry.key}": str(entry.place)
        for kind in ("networks", "volumes")
        for entry in section(tree, kind).entries
    }
    for service in section(tree, "services").entries:
        for entry in service.value.entries if isinstance(service.value, Mapping) else ():
            if entry.key == "build":
                found[f"services.{service.key}.build"] = str(entry.place)
    return found


def notices(tree: Mapping) -> tuple[str, ...]:
    """Warnings for fields that the specification means for other platforms."""
    return tuple(_notices(PROJECT, tree, ""))


def _notices(kind: schema.Kind, node: Any, path: str) -> list[str]:
    found: list[str] = []
    if isinstance(kind, schema.Either):
        kind = kind.other
    if isinstance(kind, schema.Many):
        for index, item in enumerate(nodes_of(node)):
            found += _notices(kind.item, item, f"{path}[{index}]")
    elif isinstance(node, Mapping) and isinstance(kind, schema.Named | schema.Record):
        for entry in node.entries:
            inner = f"{path}.{entry.key}" if path else entry.key
            if isinstance(kind, schema.Named):
                found += _notices(kind.item, entry.value, inner)
            elif entry.key in kind.fields:
                field = kind.fields[entry.key]
                if field.elsewhere:
                    found.append(f"{entry.place}: {inner} has no effect here, it is meant for {field.elsewhere}")
                found += _notices(field.kind, entry.value, inner)
    return found
