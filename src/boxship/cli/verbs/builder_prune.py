"""boxship builder prune: remove build cache."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.flags import Command, Flag
from boxship.cli.pruning import FILTER_FLAG, FORCE_FLAG, agreed, prune_builds, prune_filters, write_total

COMMAND = Command(
    flags=(
        Flag("-a, --all", "Remove all unused build cache, not just what no image needs"),
        FILTER_FLAG,
        FORCE_FLAG,
        Flag("--keep-storage bytes", "Amount of disk space to keep for cache"),
        Flag("--reserved-space bytes", "Amount of disk space to keep for cache (newer name of --keep-storage)"),
    ),
)
EVERYTHING = "This will remove all build cache."
UNUSED = "This will remove all dangling build cache."


def run(call: Call) -> int:
    options = call.options
    if not agreed(call, EVERYTHING if options.on("all") else UNUSED):
        return 0
    kept = options.number("reserved-space") or options.number("keep-storage")
    write_total(call, prune_builds(call, prune_filters(call), everything=options.on("all"), kept=kept))
    return 0
