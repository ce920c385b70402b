"""What the verbs on messages share: their flags, files in and out, whose key, and whom to trust."""

import os
import sys
from pathlib import Path

from boxship.cli.authority import folder_of, key_passphrase, now
from boxship.cli.call import Call, Failure
from boxship.cli.flags import Flag
from boxship.pki import files
from boxship.pki.chain import Trusted
from boxship.pki.holder import Holder, read_holder, trust_in_authority, trust_in_files
from boxship.pki.messages import armoured

LIMIT = 1 << 30  # bytes of a file; it is held in memory
CERTIFICATE = Flag("-c, --cert string", "Folder with cert.pem and key.pem, or the certificate", completes="files")
KEY = Flag("-k, --key string", "The certificate's key, where --cert is no folder", completes="files")
OUTPUT = Flag("-o, --output string", 'Where the result goes ("-": standard output)', completes="files")
BINARY = Flag("--der", "Write the message as DER instead of PEM")
AUTHORITY = Flag("--ca string", "Whom to trust: a file of roots (default: the authority)", completes="files")
REVOKED = Flag("--crl string", "With --ca: a list of revoked certificates", completes="files")


def read_input(name: str) -> bytes:
    """A file, or standard input for "-"."""
    if name == "-":
        data = sys.stdin.buffer.read(LIMIT + 1)
    else:
        path = Path(name)
        if path.is_file() and path.stat().st_size > LIMIT:
            raise Failure(f"cannot read {name}: it has more than {LIMIT} bytes")
        data = files.read_file(path)
    if len(data) > LIMIT:
        raise Failure(f"cannot read {name}: it has more than {LIMIT} bytes")
    return data


def write_output(call: Call, name: str, data: bytes, *, private: bool = False) -> None:
    """To a file, whole or not at all; or to standard output for "-"."""
    if name == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    if os.path.isdir(name):
        raise Failure(f"cannot write {name}: it is a folder")
    files.write_file(Path(name), data, files.PRIVATE if private else files.PUBLIC)
    call.line(f"wrote {name}")


def holder_of(call: Call) -> Holder:
    if not call.options.text("cert"):
        raise Failure("give --cert FOLDER, or --cert FILE and --key FILE")
    key = call.options.text("key")
    return read_holder(
        Path(call.options.text("cert")), Path(key) if key else None, lambda: key_passphrase(call, key or "of --cert")
    )


def trusted_of(call: Call) -> Trusted:
    roots, revoked = call.options.text("ca"), call.options.text("crl")
    if roots:
        return trust_in_files(Path(roots), Path(revoked) if revoked else None, now())
    if revoked:
        raise Failure("--crl is for --ca; the authority has its own list")
    return trust_in_authority(folder_of(call), now())


def dressed(call: Call, message: bytes) -> bytes:
    return message if call.options.on("der") else armoured(message)
