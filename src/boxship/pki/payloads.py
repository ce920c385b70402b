"""What is signed of an image: a small JSON text ("simple signing") that names the image's manifest by its digest.

The digest in it counts only after the signature over these very bytes does. Light on purpose: whoever keeps or moves
signatures needs no cryptography.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from boxship.errors import Invalid
from boxship.spec import digest as digests

SIGNATURE_TYPE = "cosign container image signature"
ARTIFACT_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json"
PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature"
PAYLOAD_BYTES = 64 * 1024  # more is no payload
SIGNATURES_LIMIT = 100  # of one image that are kept and looked at


class Signature(msgspec.Struct, frozen=True):
    """One signature of an image: the bytes that were signed, and the signature in base64."""

    payload: bytes
    signature: str


class Payload(msgspec.Struct, frozen=True):
    """What was signed. `reference` is the name it was signed under, "" for none."""

    digest: str
    reference: str = ""
    annotations: Mapping[str, Any] = {}


class _Identity(msgspec.Struct, frozen=True):
    reference: str = msgspec.field(name="docker-reference", default="")


class _Image(msgspec.Struct, frozen=True):
    digest: str = msgspec.field(name="docker-manifest-digest")


class _Critical(msgspec.Struct, frozen=True):
    identity: _Identity
    image: _Image
    type: str


class _Document(msgspec.Struct, frozen=True):
    critical: _Critical
    optional: dict[str, Any] | None = None


def write_payload(digest: str, reference: str, annotations: Mapping[str, str] | None = None) -> bytes:
    """The text to sign for the manifest `digest`, called by the name `reference`."""
    document = {
        "critical": {
            "identity": {"docker-reference": reference},
            "image": {"docker-manifest-digest": digests.validate(digest)},
            "type": SIGNATURE_TYPE,
        },
        "optional": dict(annotations) if annotations else None,
    }
    return msgspec.json.encode(document)


def read_payload(data: bytes) -> Payload:
    """What a signed text says. Raises Invalid for one that says something else than that an image was signed."""
    if len(data) > PAYLOAD_BYTES:
        raise Invalid(f"cannot read the signed payload: it has more than {PAYLOAD_BYTES} bytes")
    try:
        document = msgspec.json.decode(data, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"cannot read the signed payload: {error}") from error
    if document.critical.type != SIGNATURE_TYPE:
        raise Invalid(f"cannot use the signed payload: its type is {document.critical.type!r}")
    digest = digests.validate(document.critical.image.digest)
    return Payload(digest, document.critical.identity.reference, document.optional or {})
