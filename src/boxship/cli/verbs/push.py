"""boxship push: send an image to its registry."""

from boxship.cli.call import Call
from boxship.cli.escape import path_of
from boxship.cli.flags import Command, Flag
from boxship.cli.progress import show_progress
from boxship.cli.text import split_reference

COMMAND = Command(
    "NAME[:TAG]",
    (
        Flag("--platform string", "Push only the given platform variant"),
        Flag("-q, --quiet", "Suppress verbose output"),
    ),
    least=1,
    most=1,
    completes=("images",),
)
NO_CREDENTIALS = "e30="  # base64 of {}: the API wants the header also without credentials


def run(call: Call) -> int:
    repository, tag = split_reference(call.arguments[0])
    response = call.daemon.request(
        "POST",
        f"/images/{path_of(repository)}/push",
        {"tag": tag or "latest", "platform": call.options.text("platform") or None},
        headers={"X-Registry-Auth": NO_CREDENTIALS},
        own_connection=True,
    )
    show_progress(response.lines(), quiet=call.options.on("quiet"))
    return 0
