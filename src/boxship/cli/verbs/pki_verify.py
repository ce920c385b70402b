"""boxship pki verify: check a signed file (CMS), and say who signed it."""

from boxship.cli.authority import DIRECTORY
from boxship.cli.call import Call
from boxship.cli.flags import Command
from boxship.cli.messages import AUTHORITY, OUTPUT, REVOKED, read_input, trusted_of, write_output
from boxship.pki import messages

COMMAND = Command(
    "MESSAGE [FILE]",
    (AUTHORITY, REVOKED, DIRECTORY, OUTPUT),
    least=1,
    most=2,
    completes=("files", "files"),
    details="FILE is what was signed, where that is not in the message. The exit code is 1 where it cannot be trusted.",
)


def run(call: Call) -> int:
    message = read_input(call.arguments[0])
    content = read_input(call.arguments[1]) if len(call.arguments) > 1 else None
    found = messages.verify(message, content, trusted_of(call))
    if call.options.text("output"):
        write_output(call, call.options.text("output"), found.content)
    for signer in found.signers:
        time = f", {signer.time:%Y-%m-%d %H:%M:%S} UTC by the signer's clock" if signer.time else ""
        (call.warn if call.options.text("output") == "-" else call.line)(
            f"good: signed by {signer.name} (serial {signer.serial:x}){time}"
        )
    return 0
