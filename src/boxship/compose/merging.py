"""Several files → one tree, by the merge rules of the Compose Specification. Works on long forms only.

Mappings merge by key and lists append; the tables below name every field that is otherwise: what is replaced as a
whole, what counts as the same item of a list (a later one takes the earlier one's place), and where an empty value is
a value. `!reset` takes a field away and `!override` replaces it. Merging is associative: the tags stay on the result
until `trees.settled` ends it. It must never know more of a field than its rule.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable

from msgspec.structs import replace

from boxship.compose.document import Entry, FileError, Mapping, Node, Scalar, Sequence
from boxship.compose.interpolation import shown
from boxship.compose.reading import kind_of
from boxship.compose.trees import text_of, transformed

Keys = tuple[str, ...]


def _paths(*texts: str) -> frozenset[Keys]:
    return frozenset(tuple(text.split(".")) for text in texts)


REPLACED = _paths("services.*.command", "services.*.entrypoint", "services.*.healthcheck.test")
# Mappings of plain values, in which a key without a value says something.
PAIRS = _paths(
    "services.*.environment",
    "services.*.labels",
    "services.*.annotations",
    "services.*.sysctls",
    "services.*.build.args",
    "services.*.build.labels",
    "services.*.deploy.labels",
    "networks.*.labels",
    "volumes.*.labels",
    "secrets.*.labels",
    "configs.*.labels",
)
LOGGING = _paths("services.*.logging")
EITHER = _paths("services.*.ulimits.*")  # a number or a mapping; the later kind wins


def _field(name: str, normal: Callable[[str], str] = str) -> Callable[[Node], object]:
    """Items are the same when this field of theirs is; an item in short form is known by its text."""

    def key(item: Node) -> object:
        return normal(text_of(item.get(name))) if isinstance(item, Mapping) else text_of(item)

    return key


def _target(folder: str) -> Callable[[Node], object]:
    """Where a secret or a configuration shows in the container."""

    def key(item: Node) -> object:
        if not isinstance(item, Mapping):
            return text_of(item)
        return posixpath.join(folder, text_of(item.get("target")) or text_of(item.get("source")))

    return key


def _port(item: Node) -> object:
    if not isinstance(item, Mapping):
        return text_of(item)
    address = text_of(item.get("host_ip")) or "0.0.0.0"
    protocol = text_of(item.get("protocol")) or "tcp"
    return address, text_of(item.get("published")), text_of(item.get("target")), protocol


_SCALARS = (
    "build.entitlements build.extra_hosts build.no_cache_filter build.platforms build.tags cap_add cap_drop "
    "device_cgroup_rules dns dns_opt dns_search expose external_links extra_hosts group_add label_file links profiles "
    "networks.*.aliases networks.*.link_local_ips security_opt tmpfs volumes_from"
)
UNIQUE: dict[Keys, Callable[[Node], object]] = {
    **{("services", "*", *name.split(".")): text_of for name in _SCALARS.split()},
    ("services", "*", "ports"): _port,
    ("services", "*", "volumes"): _field("target", posixpath.normpath),
    ("services", "*", "devices"): _field("target"),
    ("services", "*", "secrets"): _target("/run/secrets"),
    ("services", "*", "configs"): _target("/"),
    ("services", "*", "env_file"): _field("path"),
    ("services", "*", "build", "secrets"): _target("/run/secrets"),
    ("networks", "*", "ipam", "config"): _field("subnet"),
}
MERGED_ITEMS = _paths("networks.*.ipam.config")  # the same item merges instead of being replaced


def _pattern(path: Keys) -> Keys:
    """The path as the tables above write it: names that users choose are "*"."""
    wild = {1}
    if len(path) > 3 and path[:1] == ("services",) and path[2] in ("ulimits", "networks"):
        wild.add(3)
    return tuple("*" if index in wild else step for index, step in enumerate(path))


def merge(base: Node, over: Node, path: Keys = ()) -> Node:
    """`over` laid over `base`, both at `path`. Raises FileError where they are of different kinds."""
    if over.tag:
        return over
    if base.tag == "!reset":
        return base if _says_nothing(over, path) else replace(over, tag="!override")
    merged = _merged(replace(base, tag=""), over, path)
    return replace(merged, tag=base.tag) if base.tag else merged


def _says_nothing(over: Node, path: Keys) -> bool:
    """Whether `over` is a field without a value, which leaves what was there."""
    empty = isinstance(over, Scalar) and over.value is None
    return empty and _pattern(path) not in REPLACED and _pattern(path[:-1]) not in PAIRS


def _merged(base: Node, over: Node, path: Keys) -> Node:
    pattern = _pattern(path)
    if _says_nothing(over, path):
        return base
    if pattern in REPLACED or (isinstance(base, Scalar) and base.value is None):
        return over
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        if pattern in LOGGING and _other_driver(base, over):
            return over
        return _merge_mappings(base, over, path)
    if isinstance(base, Sequence) and isinstance(over, Sequence):
        return replace(over, items=(*base.items, *over.items))
    own = any(step.startswith("x-") for step in path)  # of the user's own making: there is no rule to break
    if own or pattern in EITHER or (isinstance(base, Scalar) and isinstance(over, Scalar)):
        return over
    reason = f"cannot merge {shown(path)}: {kind_of(over)} here, {kind_of(base)} in {base.place}"
    raise FileError(over.place, reason)


def _other_driver(base: Mapping, over: Mapping) -> bool:
    drivers = (text_of(base.get("driver")), text_of(over.get("driver")))
    return all(drivers) and drivers[0] != drivers[1]


def _merge_mappings(base: Mapping, over: Mapping, path: Keys) -> Mapping:
    merged: dict[str, Entry] = {entry.key: entry for entry in base.entries}
    for entry in over.entries:
        before = merged.get(entry.key)
        if before is None:
            merged[entry.key] = entry
        else:
            merged[entry.key] = replace(entry, value=merge(before.value, entry.value, (*path, entry.key)))
    return replace(over, entries=tuple(merged.values()))


def unified(tree: Node) -> Node:
    """The tree with every list of unique items holding each item once: a later one in the place of the earlier."""
    for path in UNIQUE:
        tree = transformed(tree, path, lambda node, path=path: _unique(node, path))  # type: ignore[misc]
    return tree


def _unique(node: Node, path: Keys) -> Node:
    if not isinstance(node, Sequence):
        return node
    items: dict[object, Node] = {}
    for item in node.items:
        key = UNIQUE[path](item)
        both = path in MERGED_ITEMS and key in items
        items[key] = merge(items[key], item, path) if both else item
    return node if len(items) == len(node.items) else replace(node, items=tuple(items.values()))
