"""boxship verify: is an image signed by these keys, or as a policy wants it?"""

from pathlib import Path

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command, Flag
from boxship.cli.trusting import Signed, annotation_of, explain, read_policy, signed
from boxship.errors import BoxshipError
from boxship.pki import cosign, files, keys, payloads

COMMAND = Command(
    "IMAGE",
    (
        Flag("-a, --annotation list", "Something that the signature must say too: KEY=VALUE"),
        Flag("-k, --key list", "A public key; each one that is given must have signed", completes="files"),
        Flag("--policy string", "Decide as the daemon would with this policy", completes="files"),
    ),
    least=1,
    most=1,
    completes=("images",),
    details="The exit code is 1 where a signature is missing.",
)


def run(call: Call) -> int:
    image = call.arguments[0]
    paths = call.options.texts("key")
    if bool(paths) == bool(call.options.text("policy")):
        raise Failure("cannot verify: give --key FILE or --policy FILE")
    if not paths:
        return explain(call, read_policy(Path(call.options.text("policy"))), image)
    annotations = dict(annotation_of(text) for text in call.options.texts("annotation"))
    found = signed(call, image)
    missing = 0
    for path in paths:
        key = keys.load_public(files.read_file(Path(path)), path)
        said = statement(found, key, annotations)
        if said is None:
            missing += 1
            call.warn(f"boxship: {image} ({found.digest}) is not signed by {path} ({cosign.fingerprint(key)})")
            continue
        call.line(f"{said.reference}@{said.digest} is signed by {path} ({cosign.fingerprint(key)})")
        for name, value in said.annotations.items():
            call.line(f"  {name}={value}")
    return 1 if missing else 0


def statement(found: Signed, key: keys.PublicKey, annotations: dict[str, str]) -> payloads.Payload | None:
    """What the key has signed about the image; None where it has not."""
    for entry in found.signatures:
        if not cosign.is_signed(key, entry.payload, entry.signature):
            continue
        try:
            said = payloads.read_payload(entry.payload)
        except BoxshipError:
            continue
        if said.digest in found.digests and annotations.items() <= dict(said.annotations).items():
            return said
    return None
