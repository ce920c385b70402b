"""Removing what is not used: one function per kind, shared by the `prune` verbs. Each returns the bytes won."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.daemon import Object
from boxship.cli.filters import collect, encode_filters
from boxship.cli.flags import Flag
from boxship.cli.targets import confirm
from boxship.spec.quantity import format_decimal_bytes

FILTER_FLAG = Flag("--filter list", "Provide filter values (e.g. 'until=24h' or 'label=KEY')")
FORCE_FLAG = Flag("-f, --force", "Do not prompt for confirmation")

Filters = dict[str, dict[str, bool]]


def prune_containers(call: Call, filters: Filters) -> int:
    answer = _prune(call, "containers", filters)
    _write_list(call, "Deleted Containers:", answer.get("ContainersDeleted"))
    return _reclaimed(answer)


def prune_networks(call: Call, filters: Filters) -> int:
    answer = _prune(call, "networks", filters)
    _write_list(call, "Deleted Networks:", answer.get("NetworksDeleted"))
    return 0


def prune_volumes(call: Call, filters: Filters) -> int:
    answer = _prune(call, "volumes", filters)
    _write_list(call, "Deleted Volumes:", answer.get("VolumesDeleted"))
    return _reclaimed(answer)


def prune_images(call: Call, filters: Filters, *, unused: bool) -> int:
    """`unused` takes every image that no container uses, not those without a name alone."""
    answer = _prune(call, "images", {**filters, "dangling": {"false" if unused else "true": True}})
    entries = answer.get("ImagesDeleted") or []
    lines = [f"deleted: {e['Deleted']}" if e.get("Deleted") else f"untagged: {e.get('Untagged')}" for e in entries]
    _write_list(call, "Deleted Images:", lines)
    return _reclaimed(answer)


def prune_builds(call: Call, filters: Filters, *, everything: bool, kept: int = 0) -> int:
    """`everything` takes all of the build cache, not what nothing needs alone; `kept` bytes may stay."""
    query = {
        "all": everything or None,
        "filters": encode_filters(filters),
        "reserved-space": kept or None,
        "keep-storage": kept or None,
    }
    answer: Object = call.daemon.post("/build/prune", query) or {}
    _write_list(call, "Deleted build cache objects:", answer.get("CachesDeleted"))
    return _reclaimed(answer)


def _prune(call: Call, kind: str, filters: Filters) -> Object:
    answer: Object = call.daemon.post(f"/{kind}/prune", {"filters": encode_filters(filters)}) or {}
    return answer


def _write_list(call: Call, title: str, lines: list[str] | None) -> None:
    if lines:
        call.write("\n".join([title, *lines, "", ""]))


def _reclaimed(answer: Object) -> int:
    return int(answer.get("SpaceReclaimed") or 0)


def prune_filters(call: Call) -> Filters:
    return collect(call.options.texts("filter"))


def agreed(call: Call, warning: str) -> bool:
    """Whether to go on: --force, or a yes."""
    return call.options.on("force") or confirm(call, warning)


def write_total(call: Call, total: int) -> None:
    call.line(f"Total reclaimed space: {format_decimal_bytes(total)}")
