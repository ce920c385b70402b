"""A project's files → one tree: find them, read each, carry out `extends` and `include`, merge.

The order is the specification's: variables are put into each file alone, a file's services extend within it, what it
includes is imported into it, and then it is laid over the files before it.
"""

from __future__ import annotations

from boxship.compose.discovery import locate
from boxship.compose.document import FileError, Mapping, Node, Place
from boxship.compose.extending import extended
from boxship.compose.files import Files
from boxship.compose.gathering import Documents, Gathered, LoadRequest, Scope
from boxship.compose.including import included
from boxship.compose.interpolation import Interpolator
from boxship.compose.merging import merge, unified
from boxship.compose.naming import project_name
from boxship.compose.paths import Folder, resolved
from boxship.compose.trees import settled, without

__all__ = ["Gathered", "LoadRequest", "gather"]


def gather(request: LoadRequest, files: Files) -> Gathered:
    """Everything that a project's files say, as one tree. Raises FileError for what is wrong in a file, NotFound for a
    file that is not there, Invalid for wrong flags or variables."""
    read = Documents(request, files)
    found = locate(request, read)
    environment = dict(found.environment)
    documents = tuple(document for path in found.files for document in read.raw(path))
    interpolator = Interpolator(environment) if request.interpolate else None
    name, renamed = project_name(request.name, environment, documents, found.directory, interpolator)
    environment["COMPOSE_PROJECT_NAME"] = name
    tree = _Gathering(read).load(found.files, Scope(found.directory, environment), Place(found.files[0]))
    whole = without(_mapping(settled(tree)), "name", "include")
    if request.resolve_paths:
        whole = resolved(whole, Folder(found.directory, environment.get("HOME", ""), request.interpolate))
    return Gathered(
        tree=whole,
        name=name,
        directory=found.directory,
        files=found.files,
        profiles=found.profiles,
        environment=environment,
        warnings=(*found.warnings, *renamed, *read.warnings),
        uses=tuple(sorted(read.uses, key=lambda use: use.name)),
    )


class _Gathering:
    def __init__(self, read: Documents) -> None:
        self.read = read

    def load(self, files: tuple[str, ...], scope: Scope, place: Place) -> Mapping:
        """The files' merged tree, its tags still on it; paths are relative to the scope's folder."""
        tree: Node | None = None
        for path in files:
            inner = Scope(scope.directory, scope.environment, (*scope.chain, path))
            for document in self.read.ready(path, scope.environment, place if scope.chain else None):
                document = extended(document, path, scope.directory, scope.environment, self.read)
                document = included(document, inner, self.read, self.load)
                tree = document if tree is None else merge(tree, document)
        if tree is None:
            raise FileError(Place(files[0]), "empty compose file")
        return _mapping(unified(tree))


def _mapping(node: Node) -> Mapping:
    assert isinstance(node, Mapping)
    return node
