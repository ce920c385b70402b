"""Which mounts there are: /proc/PID/mountinfo as values. Reads only.

It imports the standard library alone, because short-lived child programs use it without site-packages.
"""

import os
from typing import NamedTuple


class MountInfo(NamedTuple):
    """One line of /proc/PID/mountinfo (proc(5)), its octal escapes undone."""

    identifier: int
    parent: int
    device: str  # "major:minor"
    root: str
    target: str
    options: tuple[str, ...]
    propagation: tuple[str, ...]  # "shared:12", "master:3", …
    kind: str
    source: str
    filesystem_options: tuple[str, ...]


def _unescape(field: str) -> str:
    if "\\" not in field:
        return field
    out = bytearray()
    data = os.fsencode(field)
    at = 0
    while at < len(data):
        digits = data[at + 1 : at + 4]
        if data[at] == 0x5C and len(digits) == 3 and all(0x30 <= digit <= 0x37 for digit in digits):
            out.append(int(digits, 8) & 0xFF)
            at += 4
        else:
            out.append(data[at])
            at += 1
    return os.fsdecode(bytes(out))


def parse_mountinfo(text: str) -> list[MountInfo]:
    """The mounts of a mountinfo file, in its order (a later one covers an earlier one with the same target)."""
    found = []
    for line in text.split("\n"):
        fields = line.split(" ")
        if len(fields) < 9 or "-" not in fields[6:]:
            continue
        dash = fields.index("-", 6)
        rest = [*fields[dash + 1 :], "", "", ""]
        found.append(
            MountInfo(
                int(fields[0]),
                int(fields[1]),
                fields[2],
                _unescape(fields[3]),
                _unescape(fields[4]),
                tuple(fields[5].split(",")),
                tuple(fields[6:dash]),
                _unescape(rest[0]),
                _unescape(rest[1]),
                tuple(rest[2].split(",")) if rest[2] else (),
            )
        )
    return found


def read_mountinfo(process: int | str = "thread-self") -> list[MountInfo]:
    """The mounts that a process sees. Raises OSError where it is gone."""
    with open(f"/proc/{process}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return parse_mountinfo(file.read())


def mounted_under(prefix: str | os.PathLike[str]) -> list[MountInfo]:
    """Mounts at `prefix` or below it in our namespace, in the order in which they were made."""
    base = os.path.realpath(prefix).rstrip("/")
    return [info for info in read_mountinfo() if info.target == base or info.target.startswith(base + "/")]


def filesystem_of(path: str | os.PathLike[str]) -> str:
    """The type of the filesystem that a file lies on ("ext4"); "" where it cannot be told."""
    try:
        number = os.stat(path).st_dev
    except OSError:
        return ""
    device = f"{os.major(number)}:{os.minor(number)}"
    return next((info.kind for info in reversed(read_mountinfo()) if info.device == device), "")
