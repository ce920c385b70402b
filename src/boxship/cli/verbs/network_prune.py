"""boxship network prune: remove networks that no container is in."""

from boxship.cli.call import Call
from boxship.cli.flags import Command
from boxship.cli.pruning import FILTER_FLAG, FORCE_FLAG, agreed, prune_filters, prune_networks

COMMAND = Command(flags=(FILTER_FLAG, FORCE_FLAG))


def run(call: Call) -> int:
    filters = prune_filters(call)
    if agreed(call, "This will remove all custom networks not used by at least one container."):
        prune_networks(call, filters)
    return 0
