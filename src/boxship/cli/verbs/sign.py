"""boxship sign: sign an image with a key, in cosign's format."""

import base64
from pathlib import Path

from boxship.cli.authority import KEY_PASSPHRASE, key_passphrase
from boxship.cli.call import Call, Failure
from boxship.cli.credentials import auth_header
from boxship.cli.escape import path_of
from boxship.cli.flags import Command, Flag
from boxship.cli.trusting import annotation_of, signed
from boxship.pki import cosign, files, keys, payloads, sealing

COMMAND = Command(
    "IMAGE",
    (
        Flag("-a, --annotation list", "Something that the signature says too: KEY=VALUE"),
        Flag("-k, --key string", "The private key, as cosign or boxship pki makes it", completes="files"),
        KEY_PASSPHRASE,
        Flag("--push", "Send the signatures to the image's registry"),
        Flag("--reference string", "Sign it under this name instead of its own"),
    ),
    least=1,
    most=1,
    completes=("images",),
    details=(
        "What is signed is the image's manifest. The signature stays with the image, and is pushed and pulled with it."
    ),
)


def run(call: Call) -> int:
    image = call.arguments[0]
    if not call.options.text("key"):
        raise Failure("cannot sign: give --key FILE")
    annotations = dict(annotation_of(text) for text in call.options.texts("annotation"))
    key = read_private(call, Path(call.options.text("key")))
    found = signed(call, image)
    reference = call.options.text("reference") or found.reference
    if not reference:
        raise Failure(f"cannot sign {image}: it has no name; tag it, or give --reference")
    payload = payloads.write_payload(found.digest, reference, annotations)
    body = {"Payload": base64.b64encode(payload).decode(), "Signature": cosign.sign(key, payload)}
    answer = call.daemon.request(
        "POST",
        f"/boxship/images/{path_of(image)}/signatures",
        {"push": True if call.options.on("push") else None},
        body=body,
        headers=auth_header(call, reference) if call.options.on("push") else None,
    )
    answer.read()
    call.line(f"signed {reference}@{found.digest} with the key {cosign.fingerprint(key.public_key())}")
    return 0


def read_private(call: Call, path: Path) -> keys.Key:
    """A key of cosign's, or PKCS#8; the passphrase is asked for where it is needed."""
    data = files.read_file(path)
    if sealing.is_sealed(data):
        return sealing.unseal(data, key_passphrase(call, str(path)), str(path))
    passphrase = key_passphrase(call, str(path)) if b"ENCRYPTED" in data else None
    return keys.load_key(data, passphrase, str(path))
