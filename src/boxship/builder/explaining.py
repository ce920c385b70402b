"""Why a step was not found in the cache, in words. Pure."""

import zlib

import msgspec

from boxship.builder.keys import Parts
from boxship.errors import Internal

FILES_LIMIT = 50_000  # files of one COPY that are listed
SHOWN_FILES = 3
SHOWN_REASONS = 3
SHOWN_CHARACTERS = 120  # of a command
NAMES = {
    "base": "what it stands on changed",
    "arguments": "the command changed",
    "environment": "the environment or a build argument changed",
    "working_directory": "the working directory changed",
    "user": "the user changed",
    "destination": "the destination changed",
    "owner": "--chown changed",
    "mode": "--chmod changed",
    "epoch": "SOURCE_DATE_EPOCH changed",
    "network": "the network changed",
    "files": "a here-document changed",
    "kind": "the instruction changed",
}


def difference(before: Parts, now: Parts, files_before: dict[str, str], files_now: dict[str, str]) -> str:
    """What differs between the parts of an earlier key and those of this one; the first reason is the strongest."""
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if not changed:
        return "the earlier result is gone"
    reasons = []
    for name in sorted(changed, key=_rank):
        if name.startswith("source "):
            reasons.append(_files(files_before, files_now) or "a copied file changed")
        elif name.startswith("mount "):
            reasons.append("a mount or its files changed")
        elif name == "arguments":
            reasons.append(_command(before.get(name, "")) or NAMES[name])
        elif name == "environment":
            reasons.append(_environment(before.get(name, ""), now.get(name, "")) or NAMES[name])
        else:
            reasons.append(NAMES.get(name, f"{name} changed"))
    return "; ".join(list(dict.fromkeys(reasons))[:SHOWN_REASONS])


def _rank(name: str) -> tuple[int, str]:
    order = ("kind", "arguments", "environment", "destination")
    return (order.index(name) if name in order else len(order) + (name == "base"), name)


def _command(before: str) -> str:
    """What the command was, where that can be told in a line."""
    try:
        words = msgspec.json.decode(before, type=list[str])
    except msgspec.MsgspecError:  # it is kept shortened
        return ""
    text = words[-1] if words[:-1] and words[0].startswith("/") else " ".join(words)
    text = text.partition("\n")[0].strip()
    return f"the command changed: it was {text}" if 0 < len(text) <= SHOWN_CHARACTERS else ""


def _environment(before: str, now: str) -> str:
    """Names of the variables that differ, where both texts are whole."""
    try:
        old = dict(entry.partition("=")[::2] for entry in msgspec.json.decode(before or "[]", type=list[str]))
        new = dict(entry.partition("=")[::2] for entry in msgspec.json.decode(now or "[]", type=list[str]))
    except msgspec.MsgspecError:
        return ""
    names = sorted(name for name in {**old, **new} if old.get(name) != new.get(name))
    return f"a variable changed: {', '.join(names[:SHOWN_FILES])}" if names else ""


def _files(before: dict[str, str], now: dict[str, str]) -> str:
    if not before or not now:
        return ""
    words = []
    for what, names in (
        ("changed", sorted(name for name in now if name in before and before[name] != now[name])),
        ("is new", sorted(name for name in now if name not in before)),
        ("is gone", sorted(name for name in before if name not in now)),
    ):
        words += [f"{name} {what}" for name in names]
    more = len(words) - SHOWN_FILES
    return ", ".join(words[:SHOWN_FILES]) + (f" and {more} more" if more > 0 else "")


def pack_files(files: dict[str, str]) -> bytes:
    """A list of files as it is stored."""
    return zlib.compress(msgspec.json.encode(files), 1) if files else b""


def unpack_files(data: bytes) -> dict[str, str]:
    """Raises Internal for damaged data."""
    if not data:
        return {}
    try:
        return msgspec.json.decode(zlib.decompress(data), type=dict[str, str])
    except (zlib.error, msgspec.MsgspecError) as error:
        raise Internal(f"cannot read a list of files: {error}") from error
