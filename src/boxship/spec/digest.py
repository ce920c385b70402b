"""Digests: the name of a blob made of its content, as text "sha256:<64 hex>" (OCI image specification, descriptor).

They stay plain strings everywhere; this module makes and checks them.
"""

import hashlib
import re

from boxship.errors import Invalid

HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
EMPTY_LAYER = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"  # a tar of no files

_HEX = re.compile(r"[0-9a-f]+")
_FORM = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9A-Za-z=_-]+")


def of_bytes(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def matches(digest: str, data: bytes) -> bool:
    """Whether the digest is that of the data."""
    algorithm, _, wanted = digest.partition(":")
    return algorithm in HEX_LENGTHS and hashlib.new(algorithm, data).hexdigest() == wanted


def validate(text: str) -> str:
    """The digest itself. Raises Invalid with the texts that Docker's clients know."""
    if not _FORM.fullmatch(text):
        raise Invalid("invalid checksum digest format")
    algorithm, _, encoded = text.partition(":")
    if algorithm not in HEX_LENGTHS:
        raise Invalid("unsupported digest algorithm")
    if len(encoded) != HEX_LENGTHS[algorithm]:
        raise Invalid("invalid checksum digest length")
    if not _HEX.fullmatch(encoded):
        raise Invalid("invalid checksum digest format")
    return text


def is_digest(text: str) -> bool:
    try:
        validate(text)
    except Invalid:
        return False
    return True


def encoded(digest: str) -> str:
    """The hexadecimal part."""
    return digest.partition(":")[2]


def short(digest: str) -> str:
    """The twelve digits that people see."""
    return digest.rpartition(":")[2][:12]


def chain_id(parent: str | None, diff_id: str) -> str:
    """The name of a layer with all below it, `parent` (OCI image configuration, "Layer ChainID")."""
    return diff_id if parent is None else of_bytes(f"{parent} {diff_id}".encode())


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """The chain id of each layer, lowest first."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(chain_id(chain[-1] if chain else None, diff_id))
    return tuple(chain)
