"""What the verbs of `boxship pki` share: their flags, where the authority lies, and its certificates as a table."""

import datetime
import json
import os
from pathlib import Path

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Flag
from boxship.cli.table import align
from boxship.pki import files, places
from boxship.pki.certificates import LEAF_DAYS, days_of
from boxship.pki.places import Summary

DEFAULT_FOLDER = "/etc/boxship/pki"

DIRECTORY = Flag("-d, --directory string", "Where the authority lies", DEFAULT_FOLDER, completes="files")
PASSPHRASE = Flag("--passphrase-file string", "File (mode 0600) with the passphrase of the keys", completes="files")
KEY_PASSPHRASE = Flag(
    "--passphrase-file string", "File (mode 0600) with the key's passphrase (else COSIGN_PASSWORD, else asked for)"
)
FORMAT = Flag("--format string", 'Print as "table" or "json"', "table")
DAYS = Flag("--days int", "How long the certificate holds", LEAF_DAYS)
VALID = Flag("--valid duration", "How long the certificate holds, instead of days (such as 12h)")
KEY_TYPE = Flag("--key-type string", "Kind of the key: ec, rsa or ed25519", "ec")


def folder_of(call: Call) -> Path:
    return Path(call.options.text("directory"))


def passphrase_of(call: Call) -> bytes | None:
    """Of the authority's keys; None where it lies beside them."""
    path = call.options.text("passphrase-file")
    return files.read_passphrase(Path(path)) if path else None


def key_passphrase(call: Call, name: str, *, twice: bool = False) -> bytes:
    """Of a key of the user's own: from a file, from the environment, or from the terminal."""
    path = call.options.text("passphrase-file")
    if path:
        return files.read_passphrase(Path(path))
    given = call.environment.get("COSIGN_PASSWORD")
    if given is not None:
        return given.encode()
    if not os.isatty(0):
        raise Failure(f"cannot open the key {name}: give --passphrase-file or COSIGN_PASSWORD")
    from getpass import getpass

    text = getpass(f"Passphrase of {name}: ")
    if twice and getpass("Again: ") != text:
        raise Failure("the two passphrases differ")
    return text.encode()


def life_of(call: Call) -> datetime.timedelta:
    """--valid, else --days."""
    if call.options.given("valid"):
        return datetime.timedelta(microseconds=call.options.number("valid") / 1000)
    return days_of(call.options.number("days"))


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def is_json(call: Call) -> bool:
    wanted = call.options.text("format")
    if wanted not in ("table", "json"):
        raise Failure(f"cannot print as {wanted!r}: it must be table or json")
    return wanted == "json"


def print_list(call: Call) -> int:
    """All that the authority has, as a table or a line of JSON each."""
    wants_json = is_json(call)
    found = places.summaries(folder_of(call))
    if wants_json:
        for summary in found:
            call.line(json.dumps(as_json(summary)))
        return 0
    rows = [("NAME", "KIND", "UNTIL", "STATE", "ADDRESSES", "SHA256")]
    rows += [
        (
            entry.name,
            entry.kind,
            f"{entry.ends:%Y-%m-%d}",
            state_of(entry),
            ",".join(entry.places) or "-",
            entry.fingerprint[:16],
        )
        for entry in found
    ]
    call.write(align(rows))
    return 0


def state_of(entry: Summary) -> str:
    if entry.revoked:
        return f"revoked ({entry.revoked})"
    return "ended" if now() > entry.ends else "good"


def as_json(summary: Summary) -> dict[str, object]:
    return {
        "name": summary.name,
        "kind": summary.kind,
        "begins": summary.begins.isoformat(),
        "ends": summary.ends.isoformat(),
        "places": summary.places,
        "serial": summary.serial,
        "sha256": summary.fingerprint,
        "key": summary.key,
        "revoked": summary.revoked,
        "path": summary.path,
    }
