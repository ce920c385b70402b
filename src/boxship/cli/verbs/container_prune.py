"""boxship container prune: remove all stopped containers."""

from boxship.cli.call import Call
from boxship.cli.flags import Command
from boxship.cli.pruning import FILTER_FLAG, FORCE_FLAG, agreed, prune_containers, prune_filters, write_total

COMMAND = Command(flags=(FILTER_FLAG, FORCE_FLAG))


def run(call: Call) -> int:
    filters = prune_filters(call)
    if agreed(call, "This will remove all stopped containers."):
        write_total(call, prune_containers(call, filters))
    return 0
