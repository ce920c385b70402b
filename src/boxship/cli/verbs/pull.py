"""boxship pull: fetch an image from a registry."""

from boxship.cli.call import Call, Failure
from boxship.cli.containers import pull_image
from boxship.cli.flags import Command, Flag
from boxship.cli.text import split_reference

COMMAND = Command(
    "NAME[:TAG|@DIGEST]",
    (
        Flag("-a, --all-tags", "Download all tagged images in the repository"),
        Flag("--disable-content-trust", "Skip image verification (the only way there is)", True),
        Flag("--platform string", "Set platform if server is multi-platform capable"),
        Flag("-q, --quiet", "Suppress verbose output"),
    ),
    least=1,
    most=1,
    completes=("images",),
)
TRUST = "unsupported: --disable-content-trust=false: signatures are demanded by the daemon's trust-policy"


def run(call: Call) -> int:
    options, name = call.options, call.arguments[0]
    if not options.on("disable-content-trust"):
        raise Failure(TRUST)
    _, tag = split_reference(name)
    if options.on("all-tags") and tag:
        raise Failure("tag can't be used with --all-tags/-a")
    if not tag and not options.on("all-tags"):
        name = f"{name}:latest"
        if not options.on("quiet"):
            call.line("Using default tag: latest")
    pull_image(call, name, 1, every_tag=options.on("all-tags"))
    call.line(name)
    return 0
