"""The values that go into gathering a project's files and come out of it, and how one file is made ready for merging.

It must never read a file that was not asked for, nor the same one twice.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Pairs

from msgspec import Struct, field

from boxship.compose.canonical import long_form
from boxship.compose.document import FileError, Mapping, Node, Place
from boxship.compose.files import Files
from boxship.compose.interpolation import Interpolator, Use, uses
from boxship.compose.merging import merge
from boxship.compose.reading import parse
from boxship.compose.trees import without
from boxship.errors import BoxshipError, Invalid

FILES = 500  # read for one project, with all that are extended and included
STDIN = "-"


class LoadRequest(Struct, frozen=True, kw_only=True):
    """What is to be loaded. `start` is the folder that the caller stands in (absolute); `files`, `env_files` and
    `directory` are as the user gave them, relative to it; "-" is `stdin`. `name` and `profiles` are those of flags.
    `environment` is the caller's own, from which COMPOSE_* variables are taken too."""

    start: str
    files: tuple[str, ...] = ()
    directory: str = ""
    name: str = ""
    env_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    environment: Pairs[str, str] = field(default_factory=dict)
    stdin: bytes | None = None
    interpolate: bool = True
    resolve_paths: bool = True


class Gathered(Struct, frozen=True, kw_only=True):
    """One tree of all files, in long form, without `name`, `version`, `include` and `extends`. `environment` is the
    caller's with what the .env files add; `warnings` are texts for the user; `uses` are the variables that the files
    speak of."""

    tree: Mapping
    name: str
    directory: str
    files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    environment: Pairs[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    uses: tuple[Use, ...] = ()


class Scope(Struct, frozen=True):
    """Where a file is read: the folder that its relative paths are joined to, the environment of its variables, and
    the files that include it, outermost first."""

    directory: str
    environment: Pairs[str, str]
    chain: tuple[str, ...] = ()


class Documents:
    """The files of one load: each is read once, and made ready once for each environment."""

    def __init__(self, request: LoadRequest, files: Files) -> None:
        self.request = request
        self.files = files
        self.warnings: dict[str, None] = {}
        self.uses: dict[Use, None] = {}
        self._raw: dict[str, tuple[Mapping, ...]] = {}
        self._ready: dict[tuple[str, int], tuple[Pairs[str, str], tuple[Mapping, ...]]] = {}

    def content(self, path: str, place: Place | None = None) -> bytes:
        """A file's bytes. `place` is where it is named: the error then begins with it."""
        if path == STDIN:
            if self.request.stdin is None:
                raise Invalid("cannot read -: there is no standard input")
            return self.request.stdin
        try:
            return self.files.read(path)
        except BoxshipError as error:
            if place is None:
                raise
            raise FileError(place, str(error)) from None

    def raw(self, path: str, place: Place | None = None) -> tuple[Mapping, ...]:
        """A file's documents as they are written."""
        if path not in self._raw:
            if len(self._raw) >= FILES:
                raise FileError(place or Place(path), f"the project has more than {FILES} files")
            self._raw[path] = parse(self.content(path, place), path)
        return self._raw[path]

    def ready(self, path: str, environment: Pairs[str, str], place: Place | None = None) -> tuple[Mapping, ...]:
        """A file's documents with variables put in, checked, and in long form."""
        key = (path, id(environment))
        if key not in self._ready:
            documents = tuple(self._prepare(each, path, environment) for each in self.raw(path, place))
            self._ready[key] = (environment, documents)  # the environment is kept so that its id stays its own
        return self._ready[key][1]

    def _prepare(self, document: Mapping, path: str, environment: Pairs[str, str]) -> Mapping:
        if document.get("version") is not None:
            self.warnings[
                f"{path}: the attribute `version` is obsolete, it will be ignored, please remove it to avoid potential"
                " confusion"
            ] = None
            document = without(document, "version")
        self.uses.update(dict.fromkeys(uses(document)))
        node: Node = document
        if self.request.interpolate:
            interpolator = Interpolator(environment)
            node = interpolator.apply(document)
            self.warnings.update(interpolator.warnings)
        assert isinstance(node, Mapping)
        return long_form(node, interpolated=self.request.interpolate)


def joined(documents: tuple[Mapping, ...], change: Callable[[Mapping], Mapping] = lambda each: each) -> Mapping | None:
    """Documents merged one over the other, each changed first; None when there are none."""
    tree: Node | None = None
    for document in documents:
        changed = change(document)
        tree = changed if tree is None else merge(tree, changed)
    return tree if isinstance(tree, Mapping) else None
