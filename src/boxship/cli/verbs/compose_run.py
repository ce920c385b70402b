"""boxship compose run: one container of a service, for one command; the exit code is the container's."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN, NO_DEPENDENCIES, ORPHANS, QUIET_PULL
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "SERVICE [COMMAND] [ARGS...]",
    (
        Flag("--build", "Build image before starting container"),
        Flag("--cap-add list", "Add Linux capabilities"),
        Flag("--cap-drop list", "Drop Linux capabilities"),
        Flag("-d, --detach", "Run container in background and print container ID"),
        DRY_RUN,
        Flag("--entrypoint string", "Override the entrypoint of the image"),
        Flag("-e, --env list", "Set environment variables"),
        Flag("--env-from-file list", "Set environment variables from file", completes="files"),
        Flag("-i, --interactive", "Keep STDIN open even if not attached", True),
        Flag("-l, --label list", "Add or override a label"),
        Flag("--name string", "Assign a name to the container"),
        Flag("-T, --no-TTY", "Disable pseudo-TTY allocation (default: where this program has no terminal)"),
        Flag("--no-tty", ""),
        NO_DEPENDENCIES,
        Flag("-p, --publish list", "Publish a container's port(s) to the host"),
        Flag("--pull string", "Pull image before running ('always'|'missing'|'never')", "policy"),
        Flag("-q, --quiet", "Don't print anything to STDERR but what the container says"),
        Flag("--quiet-build", "Suppress progress output from the build process"),
        QUIET_PULL,
        ORPHANS,
        Flag("--rm", "Automatically remove the container when it exits"),
        Flag("-P, --service-ports", "Run command with all service's ports enabled and mapped to the host"),
        Flag("-t, --tty", "Allocate a pseudo-TTY"),
        Flag("--use-aliases", "Use the service's network aliases in the networks the container connects to"),
        Flag("-u, --user string", "Run as specified username or uid"),
        Flag("-v, --volume list", "Bind mount a volume"),
        Flag("-w, --workdir string", "Working directory inside the container"),
    ),
    least=1,
    most=None,
    interspersed=False,
    completes=("services", "commands"),
)


def run(call: Call) -> int:
    from boxship.cli.composing.once import run_once

    return run_once(call)
