"""boxship compose up: create and start what the file says, and change what differs from it."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN, MAKING, NO_DEPENDENCIES, TIMEOUT
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "[SERVICE...]",
    (
        *MAKING,
        Flag("--abort-on-container-exit", "Stop all containers if any container was stopped. Incompatible with -d"),
        Flag("--abort-on-container-failure", "Stop all containers if any exited with failure. Incompatible with -d"),
        Flag("--always-recreate-deps", "Recreate dependent containers. Incompatible with --no-recreate"),
        Flag("--attach list", "Restrict attaching to the specified services", completes="services"),
        Flag("--attach-dependencies", "Automatically attach to log output of dependent services"),
        Flag("-d, --detach", "Detached mode: run containers in the background"),
        DRY_RUN,
        Flag(
            "--exit-code-from string", "Return the exit code of the selected service's container", completes="services"
        ),
        Flag("--menu", "Interactive shortcuts when running attached (refused)"),
        Flag("--no-attach list", "Do not attach (stream logs) to the specified services", completes="services"),
        Flag("--no-color", "Produce monochrome output"),
        NO_DEPENDENCIES,
        Flag("--no-log-prefix", "Don't print prefix in logs"),
        Flag("--no-start", "Don't start the services after creating them"),
        Flag("--quiet-build", "Suppress the build output"),
        Flag(
            "-V, --renew-anon-volumes", "Recreate anonymous volumes instead of retrieving data from the previous ones"
        ),
        TIMEOUT,
        Flag("--timestamps", "Show timestamps"),
        Flag("--wait", "Wait for services to be running|healthy. Implies detached mode"),
        Flag("--wait-timeout int", "Seconds to wait at most for the project to be running|healthy", 0),
        Flag("-w, --watch", "Watch source code and rebuild/refresh containers when files are updated"),
    ),
    most=None,
    completes=("services",),
)


def run(call: Call) -> int:
    from boxship.cli.composing.bringing import bring_up

    return bring_up(call)
