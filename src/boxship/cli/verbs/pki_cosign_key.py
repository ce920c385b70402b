"""boxship pki cosign-key: a key pair to sign images with, in cosign's format."""

from pathlib import Path

from boxship.cli.authority import KEY_PASSPHRASE, key_passphrase
from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command, Flag
from boxship.pki import files, sealing

COMMAND = Command(
    flags=(Flag("-o, --output string", "Beginning of the files' names", "cosign", completes="files"), KEY_PASSPHRASE),
    details="Makes NAME.key (encrypted, mode 0600) and NAME.pub.",
)


def run(call: Call) -> int:
    prefix = call.options.text("output")
    private, public = Path(f"{prefix}.key"), Path(f"{prefix}.pub")
    for path in (private, public):
        if path.exists():
            raise Failure(f"cannot make the key pair: {path} exists")
    sealed, opened = sealing.new_pair(key_passphrase(call, str(private), twice=True))
    files.write_file(private, sealed)
    files.write_file(public, opened, files.PUBLIC)
    call.line(f"made {private} and {public}")
    return 0
