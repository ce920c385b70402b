"""boxship commit: an image of a container's filesystem as it is now."""

from boxship.cli.call import Call
from boxship.cli.flags import Command, Flag
from boxship.cli.text import split_reference

COMMAND = Command(
    "CONTAINER [REPOSITORY[:TAG]]",
    (
        Flag("-a, --author string", 'Author (for example "Ada Lovelace <ada@example.com>")'),
        Flag("-c, --change list", "Apply Dockerfile instruction to the created image"),
        Flag("-m, --message string", "Commit message"),
        Flag("-p, --pause", "Pause container during commit", True),
    ),
    least=1,
    most=2,
    completes=("containers", "images"),
)


def run(call: Call) -> int:
    options = call.options
    container, *target = call.arguments
    repository, tag = split_reference(target[0]) if target else ("", "")
    query = {
        "container": container,
        "repo": repository or None,
        "tag": tag or None,
        "author": options.text("author") or None,
        "comment": options.text("message") or None,
        "changes": options.texts("change"),
        "pause": options.on("pause"),
    }
    call.line(call.daemon.post("/commit", query)["Id"])
    return 0
