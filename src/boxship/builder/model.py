"""What a build is asked for, what it tells while it goes on, and what it leaves: values that no door shapes."""

import msgspec

from boxship.builder.dockerfile.syntax import Finding, Location
from boxship.builder.operations import FolderTree
from boxship.spec.container import Resources, Ulimit
from boxship.spec.image import Platform


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """Where the result goes. `kind`: image (named and kept), tar (files of the last stage), local (the same, unpacked
    by whoever asked), oci or docker (an archive of the image), none (only the cache). `attributes` are --output's:
    name, push, compression (uncompressed, gzip, zstd), rewrite-timestamp, annotation.*, …; unknown ones are refused."""

    kind: str = "image"
    attributes: dict[str, str] = {}


class CacheEnd(msgspec.Struct, frozen=True, kw_only=True):
    """One --cache-from or --cache-to: `kind` inline, registry or local, with its attributes (ref, src, dest, mode)."""

    kind: str
    attributes: dict[str, str] = {}


class BuildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One build. `context` is None where only a Dockerfile was sent; `remote` is a git or HTTP address instead of it.
    `dockerfile` is the path in the context, or `dockerfile_text` its text."""

    context: FolderTree | None = None
    remote: str = ""
    dockerfile: str = "Dockerfile"
    dockerfile_text: bytes | None = None
    contexts: dict[
        str, FolderTree | str
    ] = {}  # named contexts: a folder, or "docker-image://REF", a git or HTTP address
    tags: tuple[str, ...] = ()
    target: str = ""
    arguments: dict[str, str | None] = {}  # None: given by name only, without a value
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    platform: Platform | None = None
    no_cache: bool = False
    no_cache_stages: tuple[str, ...] = ()
    pull: bool = False
    network: str = "default"
    extra_hosts: tuple[str, ...] = ()
    shm_size: int = 0
    ulimits: tuple[Ulimit, ...] = ()
    resources: Resources = Resources()
    cgroup_parent: str = ""
    secrets: dict[str, bytes] = {}  # by id
    insecure: bool = False  # RUN --security=insecure is allowed
    host_network: bool = False  # RUN --network=host is allowed, also where `network` is another
    host_ca: bool = False
    epoch: int | None = None  # SOURCE_DATE_EPOCH, seconds
    squash: bool = False
    outputs: tuple[Output, ...] = (Output(),)
    cache_from: tuple[CacheEnd, ...] = ()
    cache_to: tuple[CacheEnd, ...] = ()
    credentials: dict[str, dict[str, str]] = {}  # by registry, as X-Registry-Config has them
    checks_only: bool = False


class StepStarted(msgspec.Struct, frozen=True, tag=True):
    """A step begins. `step` names it in this build; `name` is what people read ("[web 2/5] RUN make"); `stage` and
    `number`/`total` say where it belongs, number 0 for what only changes the config (ENV, CMD); `inputs` are the steps
    that it waits for; `instruction` is how it was written, "" for what no instruction asks for."""

    step: str
    name: str
    stage: str = ""
    number: int = 0
    total: int = 0
    location: Location | None = None
    inputs: tuple[str, ...] = ()
    instruction: str = ""


class Planned(msgspec.Struct, frozen=True, tag=True):
    """All steps of the build in the order of the Dockerfile, sent once before the first of them starts."""

    steps: tuple[StepStarted, ...]


class StepOutput(msgspec.Struct, frozen=True, tag=True):
    step: str
    stream: int
    data: bytes


class StepProgress(msgspec.Struct, frozen=True, tag=True):
    """A part of a step that can be counted, in bytes; `total` 0 where it is not known."""

    step: str
    part: str
    current: int
    total: int = 0


class StepFinished(msgspec.Struct, frozen=True, tag=True):
    """`cached`: nothing had to be done. `reason` says why it was not found in the cache. `error` "" for a success;
    `image` is the id of an image of this state, where one was asked for (the classic door shows it)."""

    step: str
    cached: bool = False
    seconds: float = 0.0
    reason: str = ""
    error: str = ""
    image: str = ""


class Noticed(msgspec.Struct, frozen=True, tag=True):
    """A check's finding, or a warning of the build itself (then `rule` is "")."""

    finding: Finding


class Built(msgspec.Struct, frozen=True, tag=True):
    """The end of a build that went well. `image` and `manifest` are digests, "" where no image was asked for; `names`
    are the familiar names it got; `steps` and `cached` count."""

    image: str = ""
    manifest: str = ""
    names: tuple[str, ...] = ()
    steps: int = 0
    cached: int = 0


class OutputData(msgspec.Struct, frozen=True, tag=True):
    """A piece of the archive of output `index`; b"" ends it."""

    index: int
    data: bytes


BuildEvent = Planned | StepStarted | StepOutput | StepProgress | StepFinished | Noticed | Built | OutputData


class CacheRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the build cache as people see it. `kind`: regular, source.local, source.git.checkout,
    exec.cachemount, frontend or internal; times in nanoseconds; sizes in bytes."""

    id: str
    kind: str
    description: str
    size: int
    created: int
    used: int
    uses: int
    in_use: bool = False
    shared: bool = False
    parents: tuple[str, ...] = ()
