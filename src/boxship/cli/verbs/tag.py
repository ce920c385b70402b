"""boxship tag: give an image another name."""

from boxship.cli.call import Call
from boxship.cli.escape import path_of
from boxship.cli.flags import Command
from boxship.cli.text import split_reference

COMMAND = Command("SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", least=2, most=2, completes=("images",))


def run(call: Call) -> int:
    source, target = call.arguments
    repository, tag = split_reference(target)
    call.daemon.post(f"/images/{path_of(source)}/tag", {"repo": repository, "tag": tag or None})
    return 0
