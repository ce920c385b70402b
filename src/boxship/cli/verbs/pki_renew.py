"""boxship pki renew: give certificates a new life, with the same key or with a new one."""

from pathlib import Path

from boxship.cli.authority import DAYS, DIRECTORY, PASSPHRASE, VALID, folder_of, life_of, now, passphrase_of
from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command, Flag
from boxship.pki import authority, files, places
from boxship.pki.live import renew_keeping_life, renewal_time

COMMAND = Command(
    "NAME... | intermediate",
    (
        DAYS,
        DIRECTORY,
        Flag("--due", "Renew all whose life is over by two thirds, each for as long as before"),
        Flag("--key-type string", "Kind of the new key: ec, rsa or ed25519", "ec"),
        Flag("--new-key", "With a new key; the old certificate holds until it ends or is revoked"),
        PASSPHRASE,
        Flag("--root-key string", "intermediate: the root's key (default: in the authority)", completes="files"),
        VALID,
    ),
    least=0,
    most=None,
    details=(
        "Servers and clients take the new files over: a daemon at once and by itself. The intermediate keeps its key,\n"
        "so what it has signed goes on to hold."
    ),
)


def run(call: Call) -> int:
    folder, passphrase = folder_of(call), passphrase_of(call)
    if call.options.on("due") == bool(call.arguments):
        raise Failure("say what to renew: one or more names, or --due")
    if call.arguments == ["intermediate"]:
        path = Path(call.options.text("root-key") or folder / places.ROOT_KEY)
        authority.renew_authority(folder, now(), files.read_file(path), passphrase)
        call.line(f"renewed {folder / places.INTERMEDIATE}")
        return 0
    opened = authority.open_authority(folder, passphrase)
    for name in call.arguments:
        key_kind = call.options.text("key-type") if call.options.on("new-key") else ""
        call.line(f"renewed {opened.renew(name, now(), life_of(call), key_kind)}")
    if call.options.on("due"):
        revoked = opened.revocations().serials
        for child in places.issued_folders(folder):
            certificate = places.one_certificate(child / places.LEAF)
            if now() >= renewal_time(certificate) and certificate.serial_number not in revoked:
                call.line(f"renewed {renew_keeping_life(opened, child.name, now())}")
    return 0
