"""boxship create: make a container without starting it."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.containers import make_container
from boxship.cli.create_flags import CREATE_FLAGS
from boxship.cli.flags import Command

COMMAND = Command(
    "IMAGE [COMMAND] [ARG...]", CREATE_FLAGS, least=1, most=None, interspersed=False, completes=("images", "commands")
)


def run(call: Call) -> int:
    # The streams that a later `start -a` may attach to are those of a container that is not detached.
    identifier, _ = make_container(call, detached=False)
    call.line(identifier)
    return 0
