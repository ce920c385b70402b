"""boxship logout: forget who the user is to a registry."""

from boxship.cli.call import Call
from boxship.cli.credentials import Keyring, key_of
from boxship.cli.flags import Command

COMMAND = Command("[SERVER]", most=1)


def run(call: Call) -> int:
    server = call.arguments[0] if call.arguments else ""
    if Keyring(call.environment).erase(server):
        call.line(f"Removing login credentials for {key_of(server)}")
    else:
        call.line(f"Not logged in to {key_of(server)}")
    return 0
