"""boxship login: prove to a registry who the user is, and keep the credentials where Docker's client keeps them."""

from __future__ import annotations

import getpass
import sys

from boxship.cli.call import Call, Failure
from boxship.cli.credentials import Fields, Keyring, hostname, key_of
from boxship.cli.daemon import DaemonError
from boxship.cli.flags import Command, Flag
from boxship.cli.terminal import is_terminal

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
    server = call.arguments[0] if call.arguments else ""
    keyring = Keyring(call.environment)
    given = _given(call)
    if given is None:
        known = keyring.get(server)
        if known and _existing(call, keyring, server, known):
            return 0
        given = _asked(call, known.get("username", ""))
    return _login(call, keyring, server, given)


def _given(call: Call) -> Fields | None:
    """What the command line says; None where it leaves something to be asked for."""
    options = call.options
    if options.on("password-stdin"):
        if options.given("password"):
            raise Failure("--password and --password-stdin are mutually exclusive")
        if not options.text("username"):
            raise Failure("Must provide --username with --password-stdin")
        password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
        if not password:
            raise Failure("password is empty")
        return {"username": options.text("username"), "password": password}
    if options.given("password"):
        call.warn("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
        if options.given("username"):
            return {"username": options.text("username"), "password": options.text("password")}
    return None


def _existing(call: Call, keyring: Keyring, server: str, known: Fields) -> bool:
    """Try what is kept, unless other things are wanted; whether it still works."""
    if call.options.given("username") or call.options.given("password"):
        return False
    call.line("Authenticating with existing credentials...")
    try:
        _login(call, keyring, server, known)
    except DaemonError as error:
        call.warn(f"Login did not succeed, error: {error}")
        return False
    return True


def _asked(call: Call, suggested: str) -> Fields:
    """Ask on the terminal; the password is not shown."""
    if not is_terminal(0):
        raise Failure("Error: Cannot perform an interactive login from a non TTY device")
    username = call.options.text("username")
    if not username:
        shown = f" ({suggested})" if suggested else ""
        username = input(f"Username{shown}: ").strip() or suggested
    if not username:
        raise Failure("Error: Non-null Username Required")
    password = call.options.text("password") or getpass.getpass("Password: ")
    if not password:
        raise Failure("Error: Password Required")
    return {"username": username, "password": password}


def _login(call: Call, keyring: Keyring, server: str, fields: Fields) -> int:
    key = key_of(server)
    answer = call.daemon.post("/auth", body={**fields, "serveraddress": key if "://" in key else hostname(server)})
    token = answer.get("IdentityToken") or fields.get("identitytoken", "")
    kept = {"username": fields.get("username", ""), "identitytoken": token} if token else fields
    path = keyring.store(server, kept)
    if path:
        call.warn(
            f"\nWARNING! Your credentials are stored unencrypted in '{path}'.\n"
            "Configure a credential helper to remove this warning.\n"
        )
    call.line(answer.get("Status") or "Login Succeeded")
    return 0
