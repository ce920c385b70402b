"""boxship build: asks the daemon whether it builds. Sending a build context is not there yet: it is refused by name."""

from boxship.cli.call import Call
from boxship.cli.flags import Command, Flag
from boxship.errors import Unsupported

COMMAND = Command(
    "PATH | URL | -",
    (
        Flag("--build-arg list", "Set build-time variables"),
        Flag("-f, --file string", "Name of the Dockerfile", completes="files"),
        Flag("--label list", "Set metadata for an image"),
        Flag("--no-cache", "Do not use cache when building the image"),
        Flag("--platform string", "Set target platform for build"),
        Flag("--pull", "Always attempt to pull all referenced images"),
        Flag("-q, --quiet", "Suppress the build output"),
        Flag("-t, --tag list", "Name and optionally a tag of the result"),
        Flag("--target string", "Set the target build stage to build"),
    ),
    least=1,
    most=1,
    completes=("files",),
)


def run(call: Call) -> int:
    # A daemon that cannot build says so in its own words; `remote` keeps one that can from waiting for a context.
    call.daemon.request("POST", "/build", {"remote": "unsupported:"}, own_connection=True).close()
    raise Unsupported("unsupported: build")
