"""`extends`: a service takes what another one says, of the same file or of another, and lays its own over it.

Everything is taken over but `extends` itself. The other file's relative paths are those of its own folder. It must
never follow a circle.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping as Pairs

from msgspec import Struct, field
from msgspec.structs import replace

from boxship.compose.document import Entry, FileError, Mapping, Node, Place, Scalar
from boxship.compose.gathering import Documents, joined
from boxship.compose.merging import merge
from boxship.compose.paths import Folder, absolute, between, resolved
from boxship.compose.trees import nearest, section, settled, text_of, with_value, without

CHAIN_SERVICES = 100  # that extend one another

_Step = tuple[str, str]  # file, service


class _Home(Struct):
    """The file that services stand in. `done` are those whose `extends` is carried out."""

    file: str
    directory: str
    services: dict[str, Node]
    done: dict[str, Node] = field(default_factory=dict)


def extended(document: Mapping, file: str, directory: str, environment: Pairs[str, str], read: Documents) -> Mapping:
    """The document with every service's `extends` carried out. Raises FileError."""
    services = document.get("services")
    if not isinstance(services, Mapping):
        return document
    home = _Home(file, directory, _by_name(services))
    extender = _Extender(environment, read)
    entries = tuple(replace(each, value=extender.service(each.key, home, ())) for each in services.entries)
    return with_value(document, "services", replace(services, entries=entries))


def _by_name(services: Mapping) -> dict[str, Node]:
    return {entry.key: entry.value for entry in services.entries}


class _Extender:
    def __init__(self, environment: Pairs[str, str], read: Documents) -> None:
        self.environment = environment
        self.read = read
        self.homes: dict[str, _Home] = {}

    def service(self, name: str, home: _Home, chain: tuple[_Step, ...]) -> Node:
        """The service of that name with what it extends; `chain` are the services that led here."""
        if name not in home.done:
            home.done[name] = self._extend(name, home, chain)
        return home.done[name]

    def _extend(self, name: str, home: _Home, chain: tuple[_Step, ...]) -> Node:
        service = home.services[name]
        extends = service.get("extends") if isinstance(service, Mapping) else None
        if not isinstance(service, Mapping) or extends is None or extends.tag == "!reset":
            return service
        wanted, path = _reference(extends)
        chain = (*chain, (home.file, name))
        other = home if path is None else self._home(path, home)
        if wanted not in other.services:
            where = "" if path is None else f" in {other.file}"
            hint = nearest(wanted, iter(other.services))
            raise FileError(extends.place, f'cannot extend service "{name}": no service "{wanted}"{where}{hint}')
        _refuse_circle((*chain, (other.file, wanted)), extends.place)
        base = settled(self.service(wanted, other, chain))
        if path is not None and isinstance(base, Mapping):
            base = _moved(base, between(other.directory, home.directory, self.read.request.interpolate))
        merged = merge(base, service, ("services", name))
        return without(merged, "extends") if isinstance(merged, Mapping) else merged

    def _home(self, path: Scalar, home: _Home) -> _Home:
        """The other file, read in the same environment; what it includes is not looked at."""
        file = absolute(text_of(path), home.directory)
        if file not in self.homes:
            tree = joined(self.read.ready(file, self.environment, path.place))
            services = None if tree is None else tree.get("services")
            if not isinstance(services, Mapping):
                raise FileError(path.place, f"cannot extend a service of {file}: it has no services")
            self.homes[file] = _Home(file, posixpath.dirname(file), _by_name(services))
        return self.homes[file]


def _reference(extends: Node) -> tuple[str, Scalar | None]:
    """The wanted service, and the file where it is another one."""
    if isinstance(extends, Scalar):
        return text_of(extends), None
    service = extends.get("service") if isinstance(extends, Mapping) else None
    file = extends.get("file") if isinstance(extends, Mapping) else None
    if not isinstance(service, Scalar) or not text_of(service):
        raise FileError(extends.place, "extends needs the name of a service")
    return text_of(service), file if isinstance(file, Scalar) and text_of(file) else None


def _refuse_circle(chain: tuple[_Step, ...], place: Place) -> None:
    if len(chain) > CHAIN_SERVICES:
        raise FileError(place, f"more than {CHAIN_SERVICES} services extend one another")
    if chain[-1] not in chain[:-1]:
        return
    circle = chain[chain.index(chain[-1]) :]
    names = " extends ".join(f"{service} ({file})" for file, service in circle)
    raise FileError(place, f"services extend one another in a circle: {names}")


def _moved(service: Mapping, folder: Folder) -> Node:
    """A service of another file with its paths as seen from the extending one's folder."""
    entry = Entry("base", service, service.place)
    tree = Mapping((Entry("services", Mapping((entry,), service.place), service.place),), service.place)
    return section(resolved(tree, folder), "services").get("base") or service
