"""boxship login: check credentials with the daemon; keeping them is not there yet, and is refused by name."""

import sys

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command, Flag
from boxship.errors import Unsupported

COMMAND = Command(
    "[SERVER]",
    (
        Flag("-p, --password string", "Password or Personal Access Token (PAT)"),
        Flag("--password-stdin", "Take the Password or Personal Access Token (PAT) from stdin"),
        Flag("-u, --username string", "Username"),
    ),
    most=1,
)


def run(call: Call) -> int:
    options = call.options
    if options.on("password-stdin") and options.text("password"):
        raise Failure("--password and --password-stdin are mutually exclusive")
    password = sys.stdin.readline().rstrip("\r\n") if options.on("password-stdin") else options.text("password")
    body = {
        "username": options.text("username"),
        "password": password,
        "serveraddress": call.arguments[0] if call.arguments else "",
    }
    call.daemon.post("/auth", body=body)
    raise Unsupported("unsupported: keeping the credentials of login")
