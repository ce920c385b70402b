"""boxship pki decrypt: open a file that was encrypted to a certificate (CMS)."""

from boxship.cli.authority import KEY_PASSPHRASE
from boxship.cli.call import Call
from boxship.cli.flags import Command
from boxship.cli.messages import CERTIFICATE, KEY, OUTPUT, holder_of, read_input, write_output
from boxship.pki import envelopes

COMMAND = Command(
    "MESSAGE",
    (CERTIFICATE, KEY, OUTPUT, KEY_PASSPHRASE),
    least=1,
    most=1,
    completes=("files",),
    details="Writes to standard output, or to --output with mode 0600.",
)


def run(call: Call) -> int:
    holder = holder_of(call)
    content = envelopes.decrypt(read_input(call.arguments[0]), holder.key, holder.certificate)
    write_output(call, call.options.text("output") or "-", content, private=True)
    return 0
