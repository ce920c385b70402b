"""What one step does, with everything decided: every variable expanded, every input named. The seam between the part
that plans a build (`graph`, `solve`) and the part that touches files and starts processes (`execution`).
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import msgspec

from boxship.content.garbage import Lease
from boxship.errors import BoxshipError
from boxship.images.model import Layer
from boxship.spec.container import Resources, Ulimit


class LayerTree(msgspec.Struct, frozen=True):
    """The files of an image or of a step's result: `layers` lowest first; none: empty."""

    layers: tuple[Layer, ...] = ()

    @property
    def chain_id(self) -> str | None:
        return self.layers[-1].chain_id if self.layers else None


class FolderTree(msgspec.Struct, frozen=True):
    """A folder on this machine: a build context or something fetched. `patterns` are the lines of its .dockerignore;
    `origin` names it in messages; `rewritten` maps files that are there under another content (a Dockerfile from
    standard input, say) to that content."""

    path: Path
    patterns: tuple[str, ...] = ()
    origin: str = "context"


Tree = LayerTree | FolderTree


class Selection(msgspec.Struct, frozen=True):
    """Which files of a tree: paths with wildcards, relative to its root; `exclude` are patterns of --exclude."""

    paths: tuple[str, ...] = ("",)
    exclude: tuple[str, ...] = ()
    follow: bool = True  # symbolic links in a path are followed, inside the tree
    wildcards: bool = True


class InlineFile(msgspec.Struct, frozen=True):
    """A file whose content is in the Dockerfile."""

    name: str
    content: bytes


class CopySource(msgspec.Struct, frozen=True):
    """Files of one input, or an inline file (then `tree` is None). `unpack`: archives among them are unpacked."""

    tree: Tree | None
    selection: Selection = Selection()
    inline: InlineFile | None = None
    unpack: bool = False


class CopyOperation(msgspec.Struct, frozen=True, kw_only=True):
    """COPY or ADD into a root. `destination` is absolute, with a slash at the end where it must be a folder; `owner` is
    "user[:group]" by name (looked up in the root) or number, "" for root; `mode` is octal or symbolic text, ""
    keeps it. `link`: the layer must not depend on what is below. `epoch` is SOURCE_DATE_EPOCH in seconds."""

    sources: tuple[CopySource, ...]
    destination: str
    owner: str = ""
    mode: str = ""
    link: bool = False
    parents: bool = False
    epoch: int | None = None

    @property
    def names_owner(self) -> bool:
        """Whether the owner has to be looked up in the files below, also where those play no other part."""
        return any(part and not part.isdecimal() for part in self.owner.split(":"))


class FolderOperation(msgspec.Struct, frozen=True, kw_only=True):
    """WORKDIR: make a folder with its parents where it is missing, owned by `owner`."""

    path: str
    owner: str = ""
    epoch: int | None = None


class StepMount(msgspec.Struct, frozen=True, kw_only=True):
    """One --mount of a RUN, decided. `kind`: bind (tree and source inside it), cache (`identifier`, filled from tree
    when new), secret (content), ssh (identifier), tmpfs. `mode` in octal bits."""

    kind: str
    target: str
    tree: Tree | None = None
    source: str = ""
    read_only: bool = False
    identifier: str = ""
    sharing: str = "shared"
    content: bytes | None = None
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    size: int = 0


class RunOperation(msgspec.Struct, frozen=True, kw_only=True):
    """RUN: arguments as they are executed, `files` are here-documents that the command reads as /dev/pipes/NAME."""

    arguments: tuple[str, ...]
    environment: tuple[str, ...] = ()
    secrets: dict[str, str] = {}  # environment variables that are never stored or shown
    working_directory: str = "/"
    user: str = ""
    files: tuple[InlineFile, ...] = ()
    mounts: tuple[StepMount, ...] = ()
    network: str = "default"
    insecure: bool = False
    hostname: str = "buildkitsandbox"
    extra_hosts: tuple[str, ...] = ()
    shm_size: int = 0
    ulimits: tuple[Ulimit, ...] = ()
    resources: Resources = Resources()
    cgroup_parent: str = ""
    host_ca: bool = False
    epoch: int | None = None


Operation = CopyOperation | FolderOperation | RunOperation
Said = Callable[[int, bytes], None]  # stream 1 or 2, and what came out of it


class AgentStream(Protocol):
    """One connection to the client's ssh agent."""

    async def read(self, limit: int) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


class Agents(Protocol):
    """The client's ssh agents, by the identifiers that it offered."""

    def offers(self, identifier: str) -> bool: ...

    async def connect(self, identifier: str) -> AgentStream: ...


class Executor(Protocol):
    """Carries operations out. Each returns the new layer, or None where the step changed no file. `base` is what the
    step stands on; the new blob and layer are added to `lease` before they show. Raises StepFailed for a command's
    exit code, Invalid for what the user named wrongly."""

    async def copy(self, base: LayerTree, operation: CopyOperation, lease: Lease) -> Layer | None: ...

    async def folder(self, base: LayerTree, operation: FolderOperation, lease: Lease) -> Layer | None: ...

    async def run(
        self, base: LayerTree, operation: RunOperation, said: Said, agents: Agents | None, lease: Lease
    ) -> Layer | None: ...

    async def checksum(self, source: CopySource, *, parents: bool) -> str:
        """The digest of what a copy of the source would bring: names, kinds, modes, owners, links, contents; no times.
        Raises NotFound where a path without wildcards matches nothing."""

    async def listing(self, source: CopySource, *, parents: bool) -> dict[str, str]:
        """What `checksum` counts, file by file: a short digest for each path. For explanations, after a miss only."""

    async def read(self, tree: Tree, path: str, limit: int) -> bytes:
        """One file of a tree. Raises NotFound, Invalid above `limit` bytes."""

    async def export(self, tree: LayerTree, folder: Path | None) -> AsyncIterator[bytes]:
        """The files as a tar stream; with `folder`, written there instead (then the stream is empty)."""


class StepFailed(BoxshipError):
    """A command ended with `code`; `command` is how it was called."""

    def __init__(self, command: str, code: int, *, out_of_memory: bool = False) -> None:
        super().__init__(f'process "{command}" did not complete successfully: exit code: {code}')
        self.command = command
        self.code = code
        self.out_of_memory = out_of_memory
