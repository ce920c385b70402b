"""What users write about mounts, as values: -v strings, --mount fields, --tmpfs options. Pure but for one look at a
bind's source.

The texts are Docker's, because its clients and their users know them. Nothing here makes a mount or a folder.
"Z" and "z" (SELinux labels) are accepted and mean nothing: the machines that Boxship supports have no SELinux.
"""

import os
import posixpath
from collections.abc import Iterable

from boxship.errors import Invalid
from boxship.spec.container import MountRequest
from boxship.spec.users import AS_IS

_ACCESS = frozenset({"rw", "ro"})
_LABELS = frozenset({"z", "Z"})
_PROPAGATION = frozenset({"private", "rprivate", "slave", "rslave", "shared", "rshared"})
_COPY = frozenset({"nocopy"})
_CONSISTENCY = frozenset({"consistent", "cached", "delegated"})  # for other hosts than Linux; no effect
_MODE_GROUPS = (_ACCESS, _LABELS, _PROPAGATION, _COPY, _CONSISTENCY)

# Flags of a tmpfs; each takes the place of the one that it contradicts.
_TMPFS_FLAGS = {
    "rw": "access",
    "ro": "access",
    "suid": "suid",
    "nosuid": "suid",
    "dev": "dev",
    "nodev": "dev",
    "exec": "exec",
    "noexec": "exec",
    "sync": "sync",
    "async": "sync",
    "dirsync": "dirsync",
    "remount": "remount",
    "mand": "mand",
    "nomand": "mand",
    "atime": "atime",
    "noatime": "atime",
    "diratime": "diratime",
    "nodiratime": "diratime",
    "relatime": "relatime",
    "norelatime": "relatime",
    "strictatime": "strictatime",
    "nostrictatime": "strictatime",
    "defaults": "defaults",
}
_TMPFS_VALUES = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"})
_TMPFS_DEFAULTS = ("noexec", "nosuid", "nodev")
_REFUSED_TARGET = "invalid specification: destination can't be '/'"


def _wrong(kind: str, why: str) -> Invalid:
    return Invalid(f'invalid mount config for type "{kind}": {why}')


def parse_bind(text: str) -> MountRequest:
    """A -v string: "/target", "source:target" or "source:target:mode,mode"."""
    parts = text.split(":")
    if len(parts) > 3 or not parts[0] or not all(parts[:2]):
        raise Invalid(f"invalid volume specification: '{text}'")
    words: list[str] = []
    if len(parts) == 1:
        source, target = "", parts[0]
    elif len(parts) == 2:
        source, target = parts
        if _is_mode(target):  # "/target:ro" names no source
            raise Invalid(f"invalid volume specification: '{text}'")
    else:
        source, target = parts[:2]
        words = _parse_mode(parts[2])
    kind = "bind" if source.startswith("/") else "volume"
    try:
        _check_target(kind, target)
        return _bind_request(kind, source, posixpath.normpath(target), words, text)
    except Invalid as error:
        raise Invalid(f"invalid volume specification: '{text}': {error}") from error


def _bind_request(kind: str, source: str, target: str, words: list[str], text: str) -> MountRequest:
    propagation = next((word for word in words if word in _PROPAGATION), "")
    if kind == "bind" and "nocopy" in words:
        raise _wrong(kind, "invalid mode: nocopy")
    if kind == "volume" and propagation:
        raise _wrong(kind, f"invalid mode: {propagation}")
    if not source and "ro" in words:
        raise _wrong(kind, "must not set ReadOnly mode when using anonymous volumes")
    return MountRequest(
        kind=kind,
        target=target,
        source=posixpath.normpath(source) if kind == "bind" else source,
        read_only="ro" in words,
        propagation=propagation,
        no_copy="nocopy" in words,
        create_source=kind == "bind",
        origin="binds",
        text=text,
    )


def _is_mode(text: str) -> bool:
    try:
        _parse_mode(text)
    except Invalid:
        return False
    return True


def _parse_mode(text: str) -> list[str]:
    """The words of a mode: known ones, at most one of a sort."""
    words = text.split(",")
    for group in _MODE_GROUPS:
        if sum(word in group for word in words) > 1:
            raise Invalid(f"invalid mode: {text}")
    if any(not any(word in group for group in _MODE_GROUPS) for word in words):
        raise Invalid(f"invalid mode: {text}")
    return words


def _check_target(kind: str, target: str) -> None:
    if not target:
        raise _wrong(kind, "field Target must not be empty")
    if not target.startswith("/"):
        raise _wrong(kind, f"invalid mount path: '{target}' mount path must be absolute")
    if posixpath.normpath(target).strip("/") == "":
        raise _wrong(kind, _REFUSED_TARGET)


def validate(request: MountRequest) -> None:
    """Raises Invalid where the fields of a mount contradict each other or its kind."""
    kind = request.kind
    if kind not in ("bind", "volume", "tmpfs"):
        raise Invalid(f'mount type unknown: "{kind}"')
    _check_target(kind, request.target)
    if kind == "bind":
        _validate_bind(request)
    elif kind == "volume":
        _validate_volume(request)
    else:
        if request.source:
            raise _wrong(kind, "field Source must not be specified")
        if request.tmpfs_size < 0:
            raise _wrong(kind, "size must not be negative")
        tmpfs_options(request)


def _validate_bind(request: MountRequest) -> None:
    if not request.source:
        raise _wrong("bind", "field Source must not be empty")
    if not request.source.startswith("/"):
        raise _wrong("bind", f"invalid mount path: '{request.source}' mount path must be absolute")
    if request.propagation and request.propagation not in _PROPAGATION:
        raise _wrong("bind", f"invalid propagation mode: {request.propagation}")
    if request.subpath or request.driver or request.driver_options:
        raise _wrong("bind", "field VolumeOptions must not be specified")
    if request.read_only_non_recursive and request.read_only_force_recursive:
        raise _wrong("bind", "ReadOnlyForceRecursive and ReadOnlyNonRecursive are mutually exclusive")
    if request.read_only_force_recursive:
        if not request.read_only:
            raise _wrong("bind", "mount source must be read-only when ReadOnlyForceRecursive is set")
        if request.non_recursive:
            raise _wrong("bind", "ReadOnlyForceRecursive and NonRecursive are mutually exclusive")


def _validate_volume(request: MountRequest) -> None:
    if request.propagation:
        raise _wrong("volume", "field BindOptions must not be specified")
    if not request.source and request.subpath:
        raise _wrong("volume", "must not set Subpath when using anonymous volumes")
    if not request.source and request.read_only:
        raise _wrong("volume", "must not set ReadOnly mode when using anonymous volumes")
    if request.subpath and (request.subpath.startswith("/") or ".." in request.subpath.split("/")):
        raise _wrong("volume", f"subpath must be a relative path within the volume: {request.subpath}")


def check_bind_source(request: MountRequest) -> None:
    """Raises Invalid where a bind's source is missing and shall not be made."""
    _validate_bind(request)
    if not request.create_source and not os.path.lexists(request.source):
        raise _wrong("bind", f"bind source path does not exist: {request.source}")


def bind_options(request: MountRequest) -> tuple[str, ...]:
    """The runtime's options for a host path. Read-only covers the mounts below it, unless asked otherwise."""
    propagation = request.propagation or "rprivate"
    if request.non_recursive:  # the runtime takes the r of "rprivate" for the bind's own
        propagation = propagation.removeprefix("r")
    options = ["bind" if request.non_recursive else "rbind", propagation]
    if request.read_only:
        options.append("ro")
        if not (request.non_recursive or request.read_only_non_recursive):
            options.append("rro")
    if request.owned:
        options.append(AS_IS)
    return tuple(options)


def volume_options(request: MountRequest) -> tuple[str, ...]:
    """The runtime's options for a volume."""
    return ("rbind", "rprivate", "ro") if request.read_only else ("rbind", "rprivate")


def tmpfs_options(request: MountRequest) -> tuple[str, ...]:
    """The mount options of a tmpfs, from an option string or from size and mode; noexec, nosuid, nodev unless told
    otherwise. Invalid names the option that is not known."""
    words = [*_TMPFS_DEFAULTS]
    if request.read_only:
        words.append("ro")
    if request.tmpfs_size:
        words.append(f"size={request.tmpfs_size}")
    if request.tmpfs_mode:
        words.append(f"mode={request.tmpfs_mode:o}")
    words += [word for word in request.tmpfs_options.split(",") if word]
    return tuple(_merge_tmpfs(words))


def _merge_tmpfs(words: Iterable[str]) -> list[str]:
    """The words, the last of each sort alone."""
    merged: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in _TMPFS_VALUES and value:
            sort = key
        elif not equals and (word in _TMPFS_FLAGS or word in _PROPAGATION):
            sort = _TMPFS_FLAGS.get(word, "propagation")
        else:
            raise Invalid(f'invalid tmpfs option "{word}"')
        merged.pop(sort, None)
        merged[sort] = word
    merged.pop("defaults", None)
    return list(merged.values())
