"""boxship pki init: make a certificate authority, a root and an intermediate."""

from boxship.cli.authority import DIRECTORY, KEY_TYPE, PASSPHRASE, folder_of, now, passphrase_of
from boxship.cli.call import Call
from boxship.cli.flags import Command, Flag
from boxship.pki import authority, places

COMMAND = Command(
    flags=(
        DIRECTORY,
        KEY_TYPE,
        Flag("--name string", "Name of the authority in its certificates", "Boxship"),
        PASSPHRASE,
    ),
    details="The root's key signs nothing but the intermediate: move root-key.pem off the machine, and keep it.",
)


def run(call: Call) -> int:
    folder = folder_of(call)
    authority.create(folder, call.options.text("name"), now(), passphrase_of(call), call.options.text("key-type"))
    call.line(f"made the authority in {folder}")
    if not call.options.given("passphrase-file"):
        call.line(f"its passphrase is in {folder / places.PASSPHRASE}: keep a copy, and guard it")
    return 0
