"""boxship image prune: remove images that are not used."""

from boxship.cli.call import Call
from boxship.cli.flags import Command, Flag
from boxship.cli.pruning import FILTER_FLAG, FORCE_FLAG, agreed, prune_filters, prune_images, write_total

COMMAND = Command(
    flags=(Flag("-a, --all", "Remove all unused images, not just dangling ones"), FILTER_FLAG, FORCE_FLAG)
)
DANGLING = "This will remove all dangling images."
UNUSED = "This will remove all images without at least one container associated to them."


def run(call: Call) -> int:
    filters, unused = prune_filters(call), call.options.on("all")
    if agreed(call, UNUSED if unused else DANGLING):
        write_total(call, prune_images(call, filters, unused=unused))
    return 0
