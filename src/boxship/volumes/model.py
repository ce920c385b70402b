"""A volume as others see it, and its record in the store."""

import re

import msgspec

from boxship.errors import Invalid, NotFound

ANONYMOUS_LABEL = "com.docker.volume.anonymous"
LOCAL = "local"

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
_MAXIMUM_NAME = 255
_NEEDS = (("device", "type"), ("type", "device"), ("o", "device"), ("o", "type"))
_OPTIONS = frozenset({"type", "o", "device", "size"})


class Volume(msgspec.Struct, frozen=True, omit_defaults=True):
    """A volume. `mountpoint` is the host path of its data, `created_at` nanoseconds since the epoch."""

    name: str
    mountpoint: str
    created_at: int
    driver: str = LOCAL
    options: dict[str, str] = {}
    labels: dict[str, str] = {}

    @property
    def anonymous(self) -> bool:
        return ANONYMOUS_LABEL in self.labels


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the store keeps. `users` are those for whom a volume with mount options is mounted; `removing` marks one
    that is on its way out."""

    created_at: int
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    users: tuple[str, ...] = ()
    removing: bool = False

    @property
    def mounted_by_options(self) -> bool:
        """Whether the data lies on a filesystem of its own, which is mounted while somebody uses it."""
        return "type" in self.options or "device" in self.options


def check_name(name: str) -> None:
    """Raises Invalid with Docker's text for a name that the local driver does not take."""
    if len(name) == 1:
        raise Invalid(f"create {name}: volume name is too short, names should be at least two alphanumeric characters")
    if not _NAME.match(name) or len(name) > _MAXIMUM_NAME:
        raise Invalid(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )


def check_driver(name: str, driver: str) -> None:
    """Only the local driver exists; others are plugins, which we do not have."""
    if driver not in ("", LOCAL):
        raise NotFound(f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found')


def check_options(name: str, options: dict[str, str]) -> None:
    """Options of the local driver: type, device and o together, as mount(8) would take them."""
    for option in options:
        if option not in _OPTIONS:
            raise Invalid(f'create {name}: invalid option: "{option}"')
    for option, needed in _NEEDS:
        if option in options and needed not in options:
            raise Invalid(f'create {name}: missing required option: "{needed}"')
    if "size" in options:
        raise Invalid(f"create {name}: quota size requested but no quota support")
