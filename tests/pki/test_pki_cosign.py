"""Image signatures in cosign's format: round trips, the documented form, and everything that must be refused."""

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.secret import SecretBox

from boxship.errors import BoxshipError, Denied, Invalid
from boxship.pki import cosign, keys, payloads, sealing

DIGEST = "sha256:" + "5f" * 32
KEY = keys.new_key()
PUBLIC = KEY.public_key()
PAYLOAD = payloads.write_payload(DIGEST, "registry.example.org/web", {"stage": "prod"})
SIGNATURE = cosign.sign(KEY, PAYLOAD)
PRIVATE, PUBLIC_PEM = sealing.new_pair(b"open sesame")


def body(pem: bytes) -> dict[str, object]:
    lines = pem.decode().strip().splitlines()
    return json.loads(base64.b64decode("".join(lines[1:-1])))


def wrapped(document: object, label: str = sealing.KEY_LABEL) -> bytes:
    text = base64.encodebytes(json.dumps(document).encode()).decode()
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n".encode()


def test_a_key_pair_has_the_documented_form() -> None:
    assert PRIVATE.startswith(b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
    assert PUBLIC_PEM.startswith(b"-----BEGIN PUBLIC KEY-----\n")
    found = body(PRIVATE)
    assert found["kdf"]["name"] == "scrypt" and found["kdf"]["params"] == {"N": 65536, "r": 8, "p": 1}
    assert len(base64.b64decode(found["kdf"]["salt"])) == 32
    assert found["cipher"]["name"] == "nacl/secretbox" and len(base64.b64decode(found["cipher"]["nonce"])) == 24
    key = sealing.unseal(PRIVATE, b"open sesame", "k")
    assert keys.dump_public(key.public_key()) == PUBLIC_PEM
    assert sealing.is_sealed(PRIVATE) and not sealing.is_sealed(PUBLIC_PEM)


@pytest.mark.parametrize("label", sealing.KEY_LABELS)
@pytest.mark.parametrize("cost", [32768, 65536])
def test_a_key_made_by_the_description_alone_is_read(label: str, cost: int) -> None:
    """Made here step by step as the format is described, not by the code that is tested."""
    salt, nonce = b"s" * 32, b"n" * 24
    plain = KEY.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    box = SecretBox(hashlib.scrypt(b"secret", salt=salt, n=cost, r=8, p=1, maxmem=1 << 28, dklen=32))
    document = {
        "kdf": {"name": "scrypt", "params": {"N": cost, "r": 8, "p": 1}, "salt": base64.b64encode(salt).decode()},
        "cipher": {"name": "nacl/secretbox", "nonce": base64.b64encode(nonce).decode()},
        "ciphertext": base64.b64encode(box.encrypt(plain, nonce).ciphertext).decode(),
    }
    read = sealing.unseal(wrapped(document, label), b"secret", "k")
    assert keys.same_public(read.public_key(), PUBLIC)


def test_a_wrong_passphrase_and_damage_are_told_apart_from_no_key() -> None:
    with pytest.raises(Denied, match="wrong passphrase"):
        sealing.unseal(PRIVATE, b"guess", "cosign.key")
    with pytest.raises(Invalid):
        sealing.unseal(PUBLIC_PEM, b"x", "cosign.pub")
    document = body(PRIVATE)
    for change in (
        {"kdf": {**document["kdf"], "params": {"N": 1 << 30, "r": 8, "p": 1}}},  # would take a terabyte
        {"kdf": {**document["kdf"], "params": {"N": 65536, "r": 8, "p": 1000000}}},
        {"kdf": {**document["kdf"], "name": "none"}},
        {"cipher": {**document["cipher"], "nonce": ""}},
        {"ciphertext": 5},
    ):
        with pytest.raises(Invalid):
            sealing.unseal(wrapped({**document, **change}), b"open sesame", "k")


@settings(max_examples=4, deadline=None)  # each takes scrypt's time
@given(st.data())
def test_any_flipped_bit_of_a_sealed_key_is_refused(data: st.DataObject) -> None:
    document = body(PRIVATE)
    place = data.draw(st.sampled_from(["salt", "nonce", "ciphertext"]))
    part = document if place == "ciphertext" else document["kdf" if place == "salt" else "cipher"]
    raw = bytearray(base64.b64decode(part[place]))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    part[place] = base64.b64encode(raw).decode()
    with pytest.raises(Denied):
        sealing.unseal(wrapped(document), b"open sesame", "k")


def test_a_payload_has_the_documented_form() -> None:
    assert json.loads(PAYLOAD) == {
        "critical": {
            "identity": {"docker-reference": "registry.example.org/web"},
            "image": {"docker-manifest-digest": DIGEST},
            "type": "cosign container image signature",
        },
        "optional": {"stage": "prod"},
    }
    assert json.loads(payloads.write_payload(DIGEST, "a/b"))["optional"] is None
    assert payloads.read_payload(PAYLOAD) == payloads.Payload(DIGEST, "registry.example.org/web", {"stage": "prod"})


@given(st.text(max_size=60), st.dictionaries(st.text(max_size=10), st.text(max_size=20), max_size=3))
def test_what_is_signed_is_what_is_read(reference: str, annotations: dict[str, str]) -> None:
    payload = payloads.write_payload(DIGEST, reference, annotations)
    assert cosign.is_signed(PUBLIC, payload, cosign.sign(KEY, payload))
    assert payloads.read_payload(payload) == payloads.Payload(DIGEST, reference, annotations)


@given(st.integers(0, len(PAYLOAD) * 8 - 1))
def test_any_flipped_bit_of_a_payload_is_refused(bit: int) -> None:
    changed = bytearray(PAYLOAD)
    changed[bit // 8] ^= 1 << bit % 8
    assert not cosign.is_signed(PUBLIC, bytes(changed), SIGNATURE)


@given(st.integers(0, len(base64.b64decode(SIGNATURE)) * 8 - 1))
def test_any_flipped_bit_of_a_signature_is_refused(bit: int) -> None:
    changed = bytearray(base64.b64decode(SIGNATURE))
    changed[bit // 8] ^= 1 << bit % 8
    assert not cosign.is_signed(PUBLIC, PAYLOAD, base64.b64encode(changed).decode())


@given(st.integers(0, len(SIGNATURE) * 8 - 1))
def test_any_flipped_bit_of_the_signatures_text_is_refused(bit: int) -> None:
    changed = bytearray(SIGNATURE.encode())
    changed[bit // 8] ^= 1 << bit % 8
    assert not cosign.is_signed(PUBLIC, PAYLOAD, changed.decode("latin-1"))


@given(st.integers(0, len(PUBLIC_PEM) * 8 - 1))
def test_any_flipped_bit_of_a_public_key_makes_another_key_or_none(bit: int) -> None:
    changed = bytearray(keys.dump_public(PUBLIC))
    changed[bit // 8] ^= 1 << bit % 8
    try:
        key = keys.load_public(bytes(changed), "k")
    except BoxshipError:
        return
    assert keys.same_public(key, PUBLIC) or not cosign.is_signed(key, PAYLOAD, SIGNATURE)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"null",
        json.dumps({"critical": {"identity": {}, "image": {}, "type": payloads.SIGNATURE_TYPE}}).encode(),
        PAYLOAD.replace(b"cosign container image signature", b"atomic container signature"),
        PAYLOAD.replace(DIGEST.encode(), b"latest"),
        b" " * (payloads.PAYLOAD_BYTES + 1),
        PAYLOAD[:-1] + b',"more":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    ],
)
def test_what_says_something_else_is_no_payload(payload: bytes) -> None:
    with pytest.raises(Invalid):
        payloads.read_payload(payload)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_payload_or_invalid(data: bytes) -> None:
    try:
        payloads.read_payload(data)
    except Invalid:
        return


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_openssl_agrees_with_a_signature(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_bytes(keys.dump_public(PUBLIC))
    (tmp_path / "payload").write_bytes(PAYLOAD)
    (tmp_path / "signature").write_bytes(base64.b64decode(SIGNATURE))
    command = ["openssl", "dgst", "-sha256", "-verify", "key.pub", "-signature", "signature", "payload"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Verified OK" in done.stdout
    signed = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", "/dev/stdin", "payload"],
        cwd=tmp_path,
        input=keys.dump_key(KEY, None),
        capture_output=True,
        check=True,
    )
    assert cosign.is_signed(PUBLIC, PAYLOAD, base64.b64encode(signed.stdout).decode())
