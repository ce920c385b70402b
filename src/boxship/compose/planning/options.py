"""What may be asked of each verb, as values with defaults. Names of services () mean all of them; times are seconds."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from boxship.compose.parts import Strings


class Options(Struct, frozen=True, kw_only=True):
    """What all verbs share."""

    services: Strings = ()


class UpOptions(Options, frozen=True):
    """Also for `create` and `scale`. `pull` is "" (what each service says), always, missing or never; `now` is
    nanoseconds since the epoch, for pull policies with an age."""

    scale: Mapping[str, int] = field(default_factory=dict)
    force_recreate: bool = False
    no_recreate: bool = False
    always_recreate_deps: bool = False
    no_deps: bool = False
    renew_anon_volumes: bool = False
    no_start: bool = False
    build: bool = False
    no_build: bool = False
    pull: str = ""
    remove_orphans: bool = False
    ignore_orphans: bool = False
    wait: bool = False
    wait_timeout: float | None = None
    timeout: float | None = None
    now: int = 0


class RunOptions(Options, frozen=True):
    """`service` is the one that is run, already changed as asked (its command, its ports …); `slug` makes its name
    unique where `name` is not given."""

    service: str
    slug: str = ""
    name: str = ""
    no_deps: bool = False
    build: bool = False
    pull: str = ""
    remove_orphans: bool = False
    ignore_orphans: bool = False
    now: int = 0


class DownOptions(Options, frozen=True):
    """`images` is "", local (those without a name of their own) or all."""

    images: str = ""
    volumes: bool = False
    remove_orphans: bool = False
    ignore_orphans: bool = False
    timeout: float | None = None


class StartOptions(Options, frozen=True):
    wait: bool = False
    wait_timeout: float | None = None


class StopOptions(Options, frozen=True):
    timeout: float | None = None


class RestartOptions(Options, frozen=True):
    no_deps: bool = False
    timeout: float | None = None


class KillOptions(Options, frozen=True):
    signal: str = "SIGKILL"
    remove_orphans: bool = False


class RemoveOptions(Options, frozen=True):
    """Of `rm`. `stop`: running ones too; `volumes`: with their anonymous volumes."""

    stop: bool = False
    volumes: bool = False


class PauseOptions(Options, frozen=True):
    """Of `pause` and `unpause`."""


class PullOptions(Options, frozen=True):
    """`policy` is "" (always, and what the service says otherwise), always or missing."""

    policy: str = ""
    include_deps: bool = False
    ignore_buildable: bool = False
    ignore_failures: bool = False


class BuildOptions(Options, frozen=True):
    with_dependencies: bool = False
    push: bool = False


class PushOptions(Options, frozen=True):
    include_deps: bool = False
    ignore_failures: bool = False
