"""The graph of a build: steps with everything expanded, each naming the steps that it waits for. Values alone.

A step's result is a tree of files. Its config and its line of history are known before anything runs, because they
follow from the Dockerfile; only the files have to be made.
"""

import msgspec

from boxship.builder.dockerfile.syntax import Location
from boxship.builder.operations import CopyOperation, FolderOperation, RunOperation
from boxship.spec.image import ExecutionConfig, Platform


class ImageSource(msgspec.Struct, frozen=True, tag=True):
    """An image by its name; `always`: look for a newer one first."""

    reference: str
    platform: Platform
    always: bool = False


class ContextSource(msgspec.Struct, frozen=True, tag=True):
    """A build context: "" is the main one."""

    name: str = ""


class HttpSource(msgspec.Struct, frozen=True, tag=True):
    """A file fetched from an address; `checksum` "" where none was given; `archive`: its files, unpacked, are meant."""

    url: str
    name: str
    checksum: str = ""
    archive: bool = False


class GitSource(msgspec.Struct, frozen=True, tag=True):
    """A checkout: `reference` a branch, tag or commit ("": the remote's HEAD), `folder` inside the repository."""

    url: str
    reference: str = ""
    folder: str = ""
    keep_git: bool = False
    checksum: str = ""
    submodules: bool = True


Source = ImageSource | ContextSource | HttpSource | GitSource


class Load(msgspec.Struct, frozen=True, tag=True):
    """Bring files from elsewhere; None: an empty tree (FROM scratch)."""

    source: Source | None


class RunAction(msgspec.Struct, frozen=True, tag=True):
    """A RUN whose mounts have no trees yet: `inputs` are the steps that they come from, "" for none. `proxies` are set
    for the command alone: they are neither in the key nor in the history."""

    operation: RunOperation
    inputs: tuple[str, ...] = ()
    proxies: dict[str, str] = {}


class CopyAction(msgspec.Struct, frozen=True, tag=True):
    """A COPY or ADD whose sources have no trees yet: `inputs` are the steps that they come from, "" for inline ones."""

    operation: CopyOperation
    inputs: tuple[str, ...] = ()


class FolderAction(msgspec.Struct, frozen=True, tag=True):
    """WORKDIR."""

    operation: FolderOperation


class Configure(msgspec.Struct, frozen=True, tag=True):
    """Changes nothing but the config: the files are those of the step below."""


Action = Load | RunAction | CopyAction | FolderAction | Configure


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step. `base` is the step it stands on, "" for an empty tree; `config` what the image would be after it;
    `history` is its line in the history, "" for none."""

    id: str
    name: str
    action: Action
    base: str = ""
    stage: str = ""
    number: int = 0
    total: int = 0
    instruction: str = ""
    location: Location | None = None
    config: ExecutionConfig = ExecutionConfig()
    history: str = ""
    author: str = ""
    command: str = ""  # RUN: the words joined by blanks, for messages
    no_cache: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """The steps whose results this one needs."""
        more = self.action.inputs if isinstance(self.action, RunAction | CopyAction) else ()
        return tuple(dict.fromkeys(name for name in (self.base, *more) if name))


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """All steps of the needed stages, each after those that it waits for. `target` is the step whose state is the
    result; `platform` what it is for; `unused` are the build arguments that no ARG asked for."""

    steps: dict[str, Step]
    target: str
    platform: Platform
    unused: tuple[str, ...] = ()

    def lineage(self) -> tuple[Step, ...]:
        """The steps that make the target's image, the lowest first."""
        found = []
        name = self.target
        while name:
            found.append(self.steps[name])
            name = self.steps[name].base
        return tuple(reversed(found))
