"""What a runtime's complaint means to a user, in the words that Docker's clients know. Pure.

crun and runc word the same failure differently, and clients look for "executable file not found", "no such file or
directory" and "permission denied" to choose the exit codes 127 and 126. `Unrunnable` carries that code.
"""

import re

from boxship.errors import BoxshipError, Internal, Invalid

NOT_FOUND_CODE = 127
NOT_EXECUTABLE_CODE = 126
MESSAGE_LIMIT = 2000  # characters

_NOT_FOUND = ("executable file not found", "no such file or directory", "not a directory")
_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\S+Z?:\s*")
_LOGRUS = re.compile(r'^time="[^"]*" level=(?:error|fatal) msg="((?:[^"\\]|\\.)*)"')
_CRUN_MISSING = re.compile(r"executable file `([^`]*)` not found(?: in \$PATH)?")
# crun's words → runc's. A folder as program is EPERM for crun, EACCES for runc.
_REASONS = {
    "No such file or directory": "no such file or directory",
    "Permission denied": "permission denied",
    "Operation not permitted": "permission denied",
    "Is a directory": "is a directory",
    "Not a directory": "not a directory",
}


class Unrunnable(Invalid):
    """The container's program cannot be run, by the user's own mistake; `exit_code` is 126 or 127."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def clean(text: str) -> str:
    """The runtime's last complaint on one line, without time stamps, log decoration and backquotes."""
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]
    errors = [match for line in lines if (match := _LOGRUS.match(line))]
    if errors:
        return re.sub(r"\\(.)", r"\1", errors[-1].group(1))[:MESSAGE_LIMIT]
    return "; ".join(_STAMP.sub("", line) for line in lines)[:MESSAGE_LIMIT]


def describe(text: str, arguments: tuple[str, ...], action: str) -> BoxshipError:
    """The error to raise for a runtime that failed. `action` is "create" or "exec"; `arguments` the user's command.

    The message has Docker's form: `OCI runtime create failed: …: unknown`.
    """
    detail = clean(text) or "the runtime ended without a message"
    program = arguments[0] if arguments else ""
    head = f"OCI runtime {action} failed: "
    if missing := _CRUN_MISSING.search(detail):
        program = missing.group(1) or program
        reason = "no such file or directory" if "/" in program else "executable file not found in $PATH"
        if "Permission denied" in detail:
            reason = "permission denied"
        detail = _start_error(program, reason)
    elif detail.startswith(("open executable", "exec ")) or "exec container process" in detail:
        reason = detail.rsplit(": ", 1)[-1]
        detail = _start_error(program, _REASONS.get(reason, reason))
    message = f"{head}{detail}: unknown"
    lower = detail.lower()
    about_program = "unable to start container process: exec:" in lower
    if about_program and any(reason in lower for reason in _NOT_FOUND):
        return Unrunnable(message, NOT_FOUND_CODE)
    if about_program and ("permission denied" in lower or "is a directory" in lower):
        return Unrunnable(message, NOT_EXECUTABLE_CODE)
    return Internal(message)


def _start_error(program: str, reason: str) -> str:
    """Docker tells a missing path by the failing stat(2), a missing name by the search."""
    if "/" in program and reason == "no such file or directory":
        reason = f"stat {program}: {reason}"
    return f'unable to start container process: exec: "{program}": {reason}'
