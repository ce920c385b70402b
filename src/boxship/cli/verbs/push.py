"""boxship push: send an image to its registry."""

from boxship.cli.call import Call, Failure
from boxship.cli.credentials import auth_header
from boxship.cli.escape import path_of
from boxship.cli.flags import Command, Flag
from boxship.cli.progress import show_progress
from boxship.cli.text import split_reference
from boxship.cli.verbs.pull import TRUST

COMMAND = Command(
    "NAME[:TAG]",
    (
        Flag("-a, --all-tags", "Push all tags of an image to the repository"),
        Flag("--disable-content-trust", "Skip image signing (`boxship sign` signs)", True),
        Flag("--platform string", "Push only the given platform variant"),
        Flag("-q, --quiet", "Suppress verbose output"),
    ),
    least=1,
    most=1,
    completes=("images",),
)


def run(call: Call) -> int:
    options = call.options
    if not options.on("disable-content-trust"):
        raise Failure(TRUST)
    repository, tag = split_reference(call.arguments[0])
    if options.on("all-tags"):
        if tag:
            raise Failure("tag can't be used with --all-tags/-a")
    elif not tag:
        tag = "latest"
        if not options.on("quiet"):
            call.line("Using default tag: latest")
    response = call.daemon.request(
        "POST",
        f"/images/{path_of(repository)}/push",
        {"tag": tag or None, "platform": options.text("platform") or None},
        headers=auth_header(call, repository),
        own_connection=True,
    )
    show_progress(response.lines(), quiet=options.on("quiet"))
    if options.on("quiet"):
        call.line(call.arguments[0])
    return 0
