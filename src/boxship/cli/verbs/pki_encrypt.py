"""boxship pki encrypt: encrypt a file to the holders of certificates (CMS)."""

from pathlib import Path

from boxship.cli.authority import now
from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command, Flag
from boxship.cli.messages import BINARY, OUTPUT, dressed, read_input, write_output
from boxship.pki import envelopes
from boxship.pki.holder import read_chain

COMMAND = Command(
    "FILE",
    (BINARY, OUTPUT, Flag("-t, --to list", "A recipient: a certificate, or a folder with cert.pem", completes="files")),
    least=1,
    most=1,
    completes=("files",),
    details="Writes FILE.cms: AES-256-GCM, for EC and RSA keys. It does not say who wrote it: sign it first.",
)


def run(call: Call) -> int:
    name = call.arguments[0]
    recipients = [read_chain(Path(path))[0] for path in call.options.texts("to")]
    if not recipients:
        raise Failure("cannot encrypt: give --to CERTIFICATE")
    message = envelopes.encrypt(read_input(name), recipients, now())
    write_output(call, call.options.text("output") or ("-" if name == "-" else f"{name}.cms"), dressed(call, message))
    return 0
