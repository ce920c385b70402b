"""boxship import: a tar archive of a filesystem as an image."""

from boxship.cli.call import Call
from boxship.cli.files import open_input, read_pieces
from boxship.cli.flags import Command, Flag
from boxship.cli.progress import show_progress
from boxship.cli.text import split_reference

COMMAND = Command(
    "file|URL|- [REPOSITORY[:TAG]]",
    (
        Flag("-c, --change list", "Apply Dockerfile instruction to the created image"),
        Flag("-m, --message string", "Set commit message for imported image"),
        Flag("--platform string", "Set platform if server is multi-platform capable"),
    ),
    least=1,
    most=2,
    completes=("files", "images"),
)


def run(call: Call) -> int:
    options = call.options
    source, *target = call.arguments
    repository, tag = split_reference(target[0]) if target else ("", "")
    remote = source.startswith(("http://", "https://"))
    query = {
        "fromSrc": source if remote else "-",
        "repo": repository or None,
        "tag": tag or None,
        "message": options.text("message") or None,
        "changes": options.texts("change"),
        "platform": options.text("platform") or None,
    }
    stream = None if remote else read_pieces(open_input(source))
    show_progress(call.daemon.request("POST", "/images/create", query, stream=stream, own_connection=True).lines())
    return 0
