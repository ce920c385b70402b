"""boxship volume prune: remove volumes that no container uses."""

from boxship.cli.call import Call
from boxship.cli.flags import Command, Flag, UsageError
from boxship.cli.pruning import FILTER_FLAG, FORCE_FLAG, agreed, prune_filters, prune_volumes, write_total

COMMAND = Command(
    flags=(Flag("-a, --all", "Remove all unused volumes, not just anonymous ones"), FILTER_FLAG, FORCE_FLAG)
)
ANONYMOUS = "This will remove anonymous local volumes not used by at least one container."
UNUSED = "This will remove all local volumes not used by at least one container."


def run(call: Call) -> int:
    filters, every = prune_filters(call), call.options.on("all")
    if every and "all" in filters:
        raise UsageError("conflicting options: cannot specify both --all and --filter all=1")
    if every and call.daemon.at_least("1.42"):  # older daemons always take all of them
        filters["all"] = {"true": True}
    if agreed(call, UNUSED if every else ANONYMOUS):
        write_total(call, prune_volumes(call, filters))
    return 0
