"""The values that a Dockerfile is made of: one struct for each instruction, words not yet expanded.

Words keep their quotes, escapes and variables as they were written; who carries an instruction out expands them with
the variables of that moment (see `words`). Lines count from 1.
"""

import msgspec


class Location(msgspec.Struct, frozen=True):
    """Where an instruction stands: its first and its last line."""

    file: str
    first: int
    last: int


class Heredoc(msgspec.Struct, frozen=True):
    """A here-document: `expand` is off where its name was quoted, `chomp` where it was written with `<<-`."""

    name: str
    content: str
    expand: bool = True
    chomp: bool = False
    descriptor: int = 0


class RunMount(msgspec.Struct, frozen=True, kw_only=True):
    """One --mount of RUN, as written: `kind` is bind, cache, secret, ssh or tmpfs; values are unexpanded text, "" where
    not given; `options` are all keys as they came. `mounts.expanded` makes the same of it with variables put in."""

    kind: str = "bind"
    origin: str = ""  # from=
    source: str = ""
    target: str = ""
    identifier: str = ""  # id=
    read_only: bool | None = None  # None: the kind's own default
    sharing: str = "shared"  # cache: shared, private or locked
    required: bool = False
    environment: str = ""  # secret: env=
    mode: str = ""
    uid: str = ""
    gid: str = ""
    size: str = ""  # tmpfs
    options: dict[str, str] = {}


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """What every instruction has: where it stands, and its text as people wrote it (continuation lines joined)."""

    location: Location
    text: str


class From(Instruction, frozen=True, kw_only=True):
    base: str
    platform: str = ""
    name: str = ""  # AS


class Arg(Instruction, frozen=True, kw_only=True):
    """Name and default; None: no default."""

    pairs: tuple[tuple[str, str | None], ...]


class Env(Instruction, frozen=True, kw_only=True):
    """`legacy`: written with a blank between name and value instead of an equals sign."""

    pairs: tuple[tuple[str, str], ...]
    legacy: bool = False


class Label(Instruction, frozen=True, kw_only=True):
    pairs: tuple[tuple[str, str], ...]
    legacy: bool = False


class Run(Instruction, frozen=True, kw_only=True):
    """`words` in the exec form, else `line` for the shell. With here-documents `line` is the first line, and they
    follow in order; a line that is one here-document alone is a script (see `heredocs.shell_text`)."""

    words: tuple[str, ...] | None = None
    line: str = ""
    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[RunMount, ...] = ()
    network: str = ""  # default, none or host
    security: str = ""  # sandbox or insecure
    devices: tuple[str, ...] = ()


class Copy(Instruction, frozen=True, kw_only=True):
    """COPY and ADD. `sources` are paths and addresses; sources that are here-documents are in `heredocs` instead, with
    the file's name and its content (tabs of `<<-` taken off already)."""

    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    origin: str = ""  # --from
    owner: str = ""  # --chown
    mode: str = ""  # --chmod
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()


class Add(Copy, frozen=True, kw_only=True):
    checksum: str = ""
    keep_git_dir: bool = False
    unpack: bool | None = None  # None: local archives are unpacked, fetched ones are not


class Command(Instruction, frozen=True, kw_only=True):
    """CMD, ENTRYPOINT: `words` in the exec form, else `line`."""

    words: tuple[str, ...] | None = None
    line: str = ""


class Cmd(Command, frozen=True, kw_only=True):
    pass


class Entrypoint(Command, frozen=True, kw_only=True):
    pass


class HealthCheck(Instruction, frozen=True, kw_only=True):
    """`none` for HEALTHCHECK NONE; durations in nanoseconds, 0 where not given."""

    none: bool = False
    words: tuple[str, ...] | None = None
    line: str = ""
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Shell(Instruction, frozen=True, kw_only=True):
    words: tuple[str, ...]


class Expose(Instruction, frozen=True, kw_only=True):
    ports: tuple[str, ...]


class Volume(Instruction, frozen=True, kw_only=True):
    paths: tuple[str, ...]


class User(Instruction, frozen=True, kw_only=True):
    user: str


class WorkingDirectory(Instruction, frozen=True, kw_only=True):
    path: str


class StopSignal(Instruction, frozen=True, kw_only=True):
    signal: str


class OnBuild(Instruction, frozen=True, kw_only=True):
    """`trigger` is the instruction's own text, parsed again in the child's build."""

    trigger: str


class Maintainer(Instruction, frozen=True, kw_only=True):
    name: str


class Stage(msgspec.Struct, frozen=True):
    """One FROM and what follows it. `index` counts from 0; `name` is the lower-case name of AS, or ""."""

    index: int
    name: str
    origin: From
    instructions: tuple[Instruction, ...]


class Dockerfile(msgspec.Struct, frozen=True, kw_only=True):
    """A whole file. `arguments` are the ARG before the first FROM; `directives` are lower-case names with their values
    (syntax, escape, check); `lines` is the text, for messages that show it."""

    file: str
    lines: tuple[str, ...]
    directives: dict[str, str]
    escape: str
    arguments: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    comments: dict[int, str] = {}  # by line
    empty: dict[int, Location] = {}  # blank lines in the middle of an instruction, by line: the instruction's place


class Finding(msgspec.Struct, frozen=True):
    """What a check found. `rule` is BuildKit's name of the check."""

    rule: str
    message: str
    location: Location
    url: str = ""
