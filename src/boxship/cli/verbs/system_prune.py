"""boxship system prune: remove whatever is not used."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.flags import Command, Flag, UsageError
from boxship.cli.pruning import (
    FILTER_FLAG,
    FORCE_FLAG,
    agreed,
    prune_builds,
    prune_containers,
    prune_filters,
    prune_images,
    prune_networks,
    prune_volumes,
    write_total,
)

COMMAND = Command(
    flags=(
        Flag("-a, --all", "Remove all unused images not just dangling ones"),
        FILTER_FLAG,
        FORCE_FLAG,
        Flag("--volumes", "Prune anonymous volumes"),
    ),
)


def run(call: Call) -> int:
    options = call.options
    filters = prune_filters(call)
    if options.on("volumes") and "until" in filters:
        raise UsageError('the "until" filter is not supported with "--volumes"')
    if not agreed(call, _warning(options.on("all"), options.on("volumes"), filters)):
        return 0
    total = prune_containers(call, filters)
    prune_networks(call, filters)
    if options.on("volumes"):
        total += prune_volumes(call, filters)
    total += prune_images(call, filters, unused=options.on("all"))
    # The cache knows no labels: with a label filter nothing of it is meant.
    if not any(name.startswith("label") for name in filters):
        total += prune_builds(call, filters, everything=options.on("all"))
    write_total(call, total)
    return 0


def _warning(every: bool, volumes: bool, filters: dict[str, dict[str, bool]]) -> str:
    lines = ["This will remove:", "  - all stopped containers", "  - all networks not used by at least one container"]
    if volumes:
        lines.append("  - all anonymous volumes not used by at least one container")
    lines.append(
        "  - all images without at least one container associated to them" if every else "  - all dangling images"
    )
    if not any(name.startswith("label") for name in filters):
        lines.append("  - all build cache" if every else "  - unused build cache")
    if filters:
        lines += ["", "  Items to be pruned will be filtered with:"]
        lines += [f"  - {name}={value}" for name, values in sorted(filters.items()) for value in values]
    return "\n".join([*lines, ""])
