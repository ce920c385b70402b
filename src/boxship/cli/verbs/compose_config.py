"""boxship compose config: the file as it is understood."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "[SERVICE...]",
    (
        DRY_RUN,
        Flag("--environment", "Print environment used for interpolation"),
        Flag("--format string", "Format the output: 'yaml' or 'json'", "yaml"),
        Flag("--hash string", "Print the service config hash, one per line ('*': of all services)"),
        Flag("--images", "Print the image names, one per line"),
        Flag("--lock-image-digests", "Produce an override file with image digests"),
        Flag("--models", "Print the model names, one per line (refused)"),
        Flag("--networks", "Print the network names, one per line"),
        Flag("--no-consistency", "Don't check model consistency - warning: may produce invalid Compose output"),
        Flag("--no-env-resolution", "Don't resolve service env files"),
        Flag("--no-interpolate", "Don't interpolate environment variables"),
        Flag("--no-normalize", "Don't normalize compose model"),
        Flag("--no-path-resolution", "Don't resolve file paths"),
        Flag("-o, --output string", "Save to file (default to stdout)", completes="files"),
        Flag("--profiles", "Print the profile names, one per line"),
        Flag("-q, --quiet", "Only validate the configuration, don't print anything"),
        Flag("--resolve-image-digests", "Pin image tags to digests"),
        Flag("--services", "Print the service names, one per line"),
        Flag("--variables", "Print model variables and default values"),
        Flag("--volumes", "Print the volume names, one per line"),
    ),
    most=None,
    completes=("services",),
)


def run(call: Call) -> int:
    from boxship.cli.composing.configuring import config_text

    text = config_text(call)
    if call.options.on("quiet"):
        return 0
    if call.options.text("output"):
        with open(call.options.text("output"), "w", encoding="utf-8") as file:
            file.write(text)
        return 0
    call.write(text)
    return 0
