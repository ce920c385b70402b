"""The life of certificates on disk: renewed, revoked, taken over; whole after a kill at any moment."""

import base64
import datetime
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from boxship.errors import Conflict, Exists, Invalid, NotFound
from boxship.pki import authority, keys, places, revocation
from boxship.pki.certificates import load_certificates
from boxship.pki.names import subject_for
from boxship.pki.verify import verify

NOW = datetime.datetime(2026, 11, 1, 12, 0, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


@pytest.fixture
def opened(tmp_path: Path) -> authority.Authority:
    authority.create(tmp_path / "pki", "Test", NOW)
    return authority.open_authority(tmp_path / "pki")


def states(folder: Path, now: datetime.datetime = NOW) -> set[str]:
    return {finding.state for finding in verify(folder, now)}


@pytest.mark.parametrize("kind", keys.KINDS)
def test_every_kind_of_key_makes_a_chain_that_checks_well(tmp_path: Path, kind: str) -> None:
    authority.create(tmp_path, "Test", NOW, key_kind=kind)
    opened = authority.open_authority(tmp_path)
    for other in keys.KINDS:
        made = opened.issue("client", subject_for(other, ()), NOW, key_kind=other)
        key = keys.load_key((made / "key.pem").read_bytes(), None, "key")
        assert keys.kind_of(key) == other
    opened.revoke([1], "unspecified", NOW)
    assert states(tmp_path) == {"good"}
    with pytest.raises(Invalid, match="one of ec, rsa, ed25519"):
        opened.issue("client", subject_for("x", ()), NOW, key_kind="dsa")


def test_a_renewal_keeps_name_places_and_use(opened: authority.Authority) -> None:
    opened.issue_server(subject_for("web", ("localhost", "10.0.0.1")), NOW)
    path = opened.folder / "issued" / "web"
    old, key = places.one_certificate(path / "cert.pem"), (path / "key.pem").read_bytes()
    opened.renew("web", NOW + 300 * DAY)
    new = places.one_certificate(path / "cert.pem")
    assert (path / "key.pem").read_bytes() == key
    assert new.serial_number != old.serial_number and new.subject == old.subject
    assert new.not_valid_after_utc == NOW + 697 * DAY
    for kind in (x509.SubjectAlternativeName, x509.ExtendedKeyUsage, x509.KeyUsage):
        assert new.extensions.get_extension_for_class(kind) == old.extensions.get_extension_for_class(kind)
    opened.renew("web", NOW, key_kind="rsa")
    assert (path / "key.pem").read_bytes() != key and (path / "key.pem").stat().st_mode & 0o777 == 0o600
    assert states(opened.folder, NOW + DAY) == {"good"}
    assert len(places.find_certificates(opened.folder, "web")) == 3
    with pytest.raises(NotFound):
        opened.renew("nobody", NOW)


def test_a_name_is_revoked_with_all_that_was_replaced(opened: authority.Authority) -> None:
    opened.issue_client(subject_for("alice", ()), NOW)
    opened.renew("alice", NOW)
    serials = [entry.serial_number for entry in places.find_certificates(opened.folder, "alice")]
    assert len(serials) == 2
    opened.revoke(serials, "key-compromise", NOW)
    opened.revoke(serials, "superseded", NOW + DAY)  # the first word counts
    known = opened.revocations()
    assert {entry.reason for entry in known.entries.values()} == {"key-compromise"}
    assert {entry.date for entry in known.entries.values()} == {NOW}
    assert known.number == 3
    with pytest.raises(Invalid, match="new key"):
        opened.renew("alice", NOW)
    opened.renew("alice", NOW, key_kind="ec")
    entry = next(entry for entry in places.summaries(opened.folder) if entry.name == "alice")
    assert not entry.revoked
    with pytest.raises(Conflict, match="key-compromise"):
        opened.unrevoke(serials, NOW)
    with pytest.raises(Invalid, match="one of"):
        opened.revoke([1], "boredom", NOW)
    assert places.find_certificates(opened.folder, f"{serials[0]:X}")[0].serial_number == serials[0]
    with pytest.raises(NotFound):
        places.find_certificates(opened.folder, "ffff")


def test_a_hold_may_become_final_or_be_lifted(opened: authority.Authority) -> None:
    opened.revoke([5, 6], "hold", NOW)
    opened.revoke([5], "key-compromise", NOW)
    opened.unrevoke([6], NOW)
    assert {serial: entry.reason for serial, entry in opened.revocations().entries.items()} == {5: "key-compromise"}


def test_only_the_authoritys_own_list_counts(opened: authority.Authority, tmp_path: Path) -> None:
    authority.create(tmp_path / "other", "Test", NOW)
    stranger = authority.open_authority(tmp_path / "other")
    stranger.revoke([7], "unspecified", NOW)
    path = opened.folder / "crl.pem"
    good = path.read_bytes()
    path.write_bytes((stranger.folder / "crl.pem").read_bytes())
    with pytest.raises(Invalid, match="has not signed it"):
        opened.revocations()
    assert "bad" in states(opened.folder)
    der = x509.load_pem_x509_crl(good).public_bytes(Encoding.DER)
    for place in range(0, len(der), 7):
        changed = bytearray(der)
        changed[place] ^= 1 << place % 8
        with pytest.raises(Invalid):
            revocation.load(_pem(bytes(changed)), opened.intermediate.certificate, "list")


def _pem(der: bytes) -> bytes:
    return b"-----BEGIN X509 CRL-----\n" + base64.encodebytes(der) + b"-----END X509 CRL-----\n"


def test_an_authority_of_an_earlier_version_is_taken_over(opened: authority.Authority) -> None:
    """It has neither a list nor a record of what it issued."""
    opened.issue_client(subject_for("old", ()), NOW)
    (opened.folder / "crl.pem").unlink()
    shutil.rmtree(opened.folder / "certificates")
    assert states(opened.folder) == {"good"}
    again = authority.open_authority(opened.folder)
    again.renew("old", NOW)
    again.issue_client(subject_for("new", ()), NOW)
    serials = [entry.serial_number for entry in places.find_certificates(again.folder, "old")]
    again.revoke(serials, "superseded", NOW)
    assert "warning" in states(again.folder) and "bad" not in states(again.folder)


def test_the_first_certificate_of_an_earlier_version_can_be_revoked_after_a_renewal(
    opened: authority.Authority,
) -> None:
    opened.issue_client(subject_for("old", ()), NOW)
    first = places.one_certificate(opened.folder / "issued" / "old" / "cert.pem").serial_number
    shutil.rmtree(opened.folder / "certificates")
    authority.open_authority(opened.folder).renew("old", NOW)
    assert first in [entry.serial_number for entry in places.find_certificates(opened.folder, "old")]


def test_the_intermediate_is_renewed_with_its_key(opened: authority.Authority) -> None:
    folder = opened.folder
    opened.issue_client(subject_for("alice", ()), NOW)
    opened.revoke([9], "unspecified", NOW)
    late = NOW + 1700 * DAY
    assert any("renew intermediate" in finding.text for finding in verify(folder, late))
    root_key = (folder / "root-key.pem").read_bytes()
    (folder / "root-key.pem").unlink()
    authority.renew_authority(folder, late, root_key, None)
    again = authority.open_authority(folder)
    assert again.intermediate.certificate.not_valid_after_utc > late + 1000 * DAY
    assert 9 in again.revocations().serials
    assert {finding.state for finding in verify(folder, NOW + DAY) if "alice" in finding.path} == {"good"}
    with pytest.raises(Invalid, match="not the root's"):
        authority.renew_authority(folder, late, keys.dump_key(keys.new_key(), None), None)


def test_what_a_crash_left_of_a_renewal_is_finished(opened: authority.Authority) -> None:
    """A kill between the key and the certificate: the next opening puts the rest in its place."""
    opened.issue_client(subject_for("alice", ()), NOW)
    path = opened.folder / "issued" / "alice"
    before = {name: (path / name).read_bytes() for name in ("cert.pem", "key.pem")}
    opened.renew("alice", NOW, key_kind="ec")
    after = {name: (path / name).read_bytes() for name in ("cert.pem", "key.pem")}
    for moved in (0, 1, 2):
        for name, data in before.items():
            (path / name).write_bytes(data)
        following = path / ".next"
        following.mkdir()
        for name in ("key.pem", "cert.pem")[moved:]:
            (following / name).write_bytes(after[name])
        for name in ("key.pem", "cert.pem")[:moved]:
            (path / name).write_bytes(after[name])
        (path / ".cert.pem.0123456789ab.new").write_bytes(b"half")
        authority.open_authority(opened.folder)
        assert {name: (path / name).read_bytes() for name in after} == after
        assert sorted(child.name for child in path.iterdir()) == ["ca.pem", "cert.pem", "key.pem"]


CHILD = """
import datetime, sys
from pathlib import Path
from boxship.pki import authority, places
from boxship.pki.names import subject_for
folder, number = Path(sys.argv[1]), sys.argv[2]
now = datetime.datetime.now(datetime.UTC)
print("ready", flush=True)
for step in range(1000):
    opened = authority.open_authority(folder)
    name = f"n{number}-{step}"
    opened.issue_client(subject_for(name, ()), now)
    opened.renew(name, now, key_kind="ec" if step % 2 else "")
    if step % 3 == 0:
        opened.revoke([places.find_certificates(folder, name)[0].serial_number], "superseded", now)
"""


def test_kills_at_any_moment_leave_it_whole_and_no_serial_twice(tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    authority.create(tmp_path, "Test", now)
    revoked: set[int] = set()
    for round_ in range(4):
        children = [
            subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), f"{round_}{place}"], stdout=subprocess.PIPE)
            for place in range(2)
        ]
        for child in children:
            assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        deadline = time.monotonic() + 0.15 + round_ * 0.07  # another moment each time
        while time.monotonic() < deadline:
            os.sched_yield()
        for child in children:
            child.send_signal(signal.SIGKILL)
            child.wait()
        opened = authority.open_authority(tmp_path)
        findings = verify(tmp_path, now)
        assert not [finding for finding in findings if finding.state == "bad"], findings
        assert revoked <= opened.revocations().serials
        revoked = set(opened.revocations().serials)
        recorded = {path.stem for path in (tmp_path / "certificates").iterdir()}
        for child_folder in places.issued_folders(tmp_path):
            leaf = load_certificates((child_folder / "cert.pem").read_bytes(), "leaf")[0]
            assert f"{leaf.serial_number:040x}" in recorded
        assert not [path for path in tmp_path.rglob(".*") if path.name != ".next"]
    assert len(places.issued_folders(tmp_path)) > 2


def test_two_authorities_cannot_be_made_at_once(tmp_path: Path) -> None:
    script = (
        "import datetime, sys; from pathlib import Path; from boxship.pki import authority\n"
        "authority.create(Path(sys.argv[1]), 'Test', datetime.datetime.now(datetime.UTC))"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "pki")], stderr=subprocess.DEVNULL)
        for _ in range(3)
    ]
    assert sorted(child.wait() for child in children) == [0, 1, 1]
    assert states(tmp_path / "pki", datetime.datetime.now(datetime.UTC)) == {"good"}
    with pytest.raises(Exists):
        authority.create(tmp_path / "pki", "Test", NOW)
