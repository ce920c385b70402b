"""boxship load: images from a tar archive."""

from boxship.cli.call import Call, Failure
from boxship.cli.files import open_input, read_pieces
from boxship.cli.flags import Command, Flag
from boxship.cli.progress import show_progress
from boxship.cli.terminal import is_terminal

COMMAND = Command(
    flags=(
        Flag("-i, --input string", "Read from tar archive file, instead of STDIN", completes="files"),
        Flag("--platform string", "Load only the given platform variant"),
        Flag("-q, --quiet", "Suppress the load output"),
    ),
)


def run(call: Call) -> int:
    options = call.options
    descriptor = open_input(options.text("input"))
    if descriptor == 0 and is_terminal(0):
        raise Failure("requested load from stdin, but stdin is empty")
    # Progress is for terminals alone, so the daemon need not make it otherwise.
    query = {
        "quiet": options.on("quiet") or not is_terminal(1) or None,
        "platform": options.text("platform") or None,
    }
    response = call.daemon.request("POST", "/images/load", query, stream=read_pieces(descriptor), own_connection=True)
    show_progress(response.lines())
    return 0
