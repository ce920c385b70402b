"""boxship pki sign: sign a file with the key of a certificate (CMS)."""

from boxship.cli.authority import KEY_PASSPHRASE, now
from boxship.cli.call import Call
from boxship.cli.flags import Command, Flag
from boxship.cli.messages import BINARY, CERTIFICATE, KEY, OUTPUT, dressed, holder_of, read_input, write_output
from boxship.pki import messages

COMMAND = Command(
    "FILE",
    (Flag("--attach", "Put the file's content into the message"), CERTIFICATE, BINARY, KEY, OUTPUT, KEY_PASSPHRASE),
    least=1,
    most=1,
    completes=("files",),
    details=(
        'Writes FILE.cms, which "openssl cms -verify -binary" checks too. Without --attach the content stays outside.'
    ),
)


def run(call: Call) -> int:
    name = call.arguments[0]
    holder = holder_of(call)
    attached = call.options.on("attach")
    message = messages.sign(read_input(name), holder.key, holder.chain, now(), attached=attached)
    write_output(call, call.options.text("output") or ("-" if name == "-" else f"{name}.cms"), dressed(call, message))
    return 0
