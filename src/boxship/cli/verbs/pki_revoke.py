"""boxship pki revoke: put certificates on the list of those that hold no longer."""

from boxship.cli.authority import DIRECTORY, PASSPHRASE, folder_of, now, passphrase_of
from boxship.cli.call import Call
from boxship.cli.flags import Command, Flag
from boxship.pki import authority, places
from boxship.pki.revocation import REASONS

COMMAND = Command(
    "NAME|SERIAL...",
    (
        DIRECTORY,
        PASSPHRASE,
        Flag("--reason string", f"One of {', '.join(REASONS)}", "unspecified"),
        Flag("--undo", 'Take back what was revoked with the reason "hold"'),
    ),
    least=1,
    most=None,
    details=(
        "A name means all its certificates, also those that a renewal replaced. The list is crl.pem; a daemon with\n"
        "--pki or --tls-crl obeys it from the next request on."
    ),
)


def run(call: Call) -> int:
    opened = authority.open_authority(folder_of(call), passphrase_of(call))
    serials = [
        entry.serial_number for word in call.arguments for entry in places.find_certificates(opened.folder, word)
    ]
    if call.options.on("undo"):
        opened.unrevoke(serials, now())
    else:
        opened.revoke(serials, call.options.text("reason"), now())
    word = "taken back" if call.options.on("undo") else "revoked"
    for serial in serials:
        call.line(f"{word} {serial:x}")
    return 0
