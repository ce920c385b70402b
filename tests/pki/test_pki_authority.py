"""An authority on disk: made, opened, used, checked, and refused where it should be."""

import datetime
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import Denied, Exists, Invalid, NotFound
from boxship.pki import authority, certificates, places
from boxship.pki.names import subject_for
from boxship.pki.verify import Finding, verify

NOW = datetime.datetime(2026, 11, 1, 12, 0, tzinfo=datetime.UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    authority.create(tmp_path / "pki", "Test", NOW)
    return tmp_path / "pki"


def states(findings: tuple[Finding, ...]) -> dict[str, str]:
    return {"/".join(Path(finding.path).parts[-2:]): finding.state for finding in findings}


def test_a_new_authority_is_whole_and_private(folder: Path) -> None:
    assert {finding.state for finding in verify(folder, NOW)} == {"good"}
    for name in ("root-key.pem", "intermediate-key.pem", "passphrase"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    for name in ("root-key.pem", "intermediate-key.pem"):
        assert b"ENCRYPTED PRIVATE KEY" in (folder / name).read_bytes()


def test_the_mode_of_a_key_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        authority.create(tmp_path, "Test", NOW)
        issued = authority.open_authority(tmp_path).issue_client(subject_for("alice", ()), NOW)
    finally:
        os.umask(before)
    assert (tmp_path / "root-key.pem").stat().st_mode & 0o777 == 0o600
    assert (issued / "key.pem").stat().st_mode & 0o777 == 0o600
    assert issued.stat().st_mode & 0o777 == 0o700


def test_a_second_authority_in_the_same_place_is_refused(folder: Path) -> None:
    before = (folder / "root-key.pem").read_bytes()
    with pytest.raises(Exists):
        authority.create(folder, "Other", NOW)
    assert (folder / "root-key.pem").read_bytes() == before


def test_issued_certificates_are_listed_and_check_well(folder: Path) -> None:
    opened = authority.open_authority(folder)
    opened.issue_server(subject_for("web", ("localhost", "127.0.0.1", "::1", "*.example.org")), NOW)
    opened.issue_client(subject_for("alice", ()), NOW, days=10)
    found = {summary.name: summary for summary in places.summaries(folder)}
    assert [summary.kind for summary in found.values()] == ["root", "intermediate", "client", "server"]
    assert found["web"].places == ("localhost", "*.example.org", "127.0.0.1", "::1")
    assert found["alice"].ends == NOW + datetime.timedelta(days=10)
    assert states(verify(folder, NOW + datetime.timedelta(days=7)))["alice/cert.pem"] == "warning"  # ends soon
    assert states(verify(folder, NOW))["web/cert.pem"] == "good"
    assert states(verify(folder, NOW + datetime.timedelta(days=11)))["alice/cert.pem"] == "bad"
    assert states(verify(folder, NOW - datetime.timedelta(days=1)))["web/cert.pem"] == "bad"


def test_the_same_name_is_issued_once(folder: Path) -> None:
    opened = authority.open_authority(folder)
    first = opened.issue_client(subject_for("alice", ()), NOW)
    content = (first / "cert.pem").read_bytes()
    with pytest.raises(Exists):
        opened.issue_client(subject_for("alice", ()), NOW)
    assert (first / "cert.pem").read_bytes() == content
    assert [child.name for child in (folder / "issued").iterdir()] == ["alice"]


def test_issuing_needs_no_root_key(folder: Path) -> None:
    (folder / "root-key.pem").unlink()
    authority.open_authority(folder).issue_client(subject_for("alice", ()), NOW)
    assert {finding.state for finding in verify(folder, NOW)} == {"good"}


def test_the_passphrase_may_be_kept_elsewhere(tmp_path: Path) -> None:
    authority.create(tmp_path, "Test", NOW, b"open sesame")
    assert not (tmp_path / "passphrase").exists()
    with pytest.raises(NotFound):
        authority.open_authority(tmp_path)
    with pytest.raises(Denied, match="wrong passphrase"):
        authority.open_authority(tmp_path, b"guess")
    authority.open_authority(tmp_path, b"open sesame")
    assert states(verify(tmp_path, NOW))[f"{tmp_path.name}/intermediate-key.pem"] == "warning"
    assert states(verify(tmp_path, NOW, b"guess"))[f"{tmp_path.name}/intermediate-key.pem"] == "bad"


def test_a_passphrase_that_others_can_read_is_refused(folder: Path) -> None:
    (folder / "passphrase").chmod(0o644)
    with pytest.raises(Denied, match="others may read it"):
        authority.open_authority(folder)
    assert states(verify(folder, NOW)) == {"pki/passphrase": "bad"}


def test_no_certificate_outlives_its_issuer(folder: Path) -> None:
    opened = authority.open_authority(folder)
    issued = opened.issue_client(subject_for("long", ()), NOW, days=certificates.MOST_LIFE.days)
    limit = opened.intermediate.certificate.not_valid_after_utc
    assert places.one_certificate(issued / "cert.pem").not_valid_after_utc == limit
    with pytest.raises(Invalid, match="ended on"):
        opened.issue_client(subject_for("late", ()), limit + datetime.timedelta(days=1))
    for days in (0, -1, certificates.MOST_LIFE.days + 1, 10**12):
        with pytest.raises(Invalid):
            opened.issue_client(subject_for("odd", ()), NOW, days=days)


def test_a_server_needs_an_address(folder: Path) -> None:
    with pytest.raises(Invalid, match="needs a host name or address"):
        authority.open_authority(folder).issue_server(subject_for("web", ()), NOW)


def test_damage_is_found(folder: Path, tmp_path: Path) -> None:
    opened = authority.open_authority(folder)
    for name in ("swapped", "cut", "loose", "gone", "foreign"):
        opened.issue_client(subject_for(name, ()), NOW)
    issued = folder / "issued"
    (issued / "swapped" / "key.pem").write_bytes((issued / "cut" / "key.pem").read_bytes())
    (issued / "cut" / "cert.pem").write_bytes((issued / "cut" / "cert.pem").read_bytes()[:200])
    (issued / "loose" / "key.pem").chmod(0o640)
    (issued / "gone" / "key.pem").unlink()
    authority.create(tmp_path / "other", "Other", NOW)
    foreign = authority.open_authority(tmp_path / "other").issue_client(subject_for("foreign", ()), NOW)
    (issued / "foreign" / "cert.pem").write_bytes((foreign / "cert.pem").read_bytes())
    found = states(verify(folder, NOW))
    assert found["swapped/key.pem"] == found["cut/cert.pem"] == found["loose/key.pem"] == "bad"
    assert found["gone/key.pem"] == found["foreign/cert.pem"] == "bad"
    (folder / "intermediate.pem").write_bytes(b"nothing")
    assert states(verify(folder, NOW))["pki/intermediate.pem"] == "bad"


def test_without_an_authority_every_question_says_so(tmp_path: Path) -> None:
    for ask in (authority.open_authority, places.summaries, lambda folder: verify(folder, NOW)):
        with pytest.raises(NotFound, match="there is none"):
            ask(tmp_path)


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc", "a/b", ".hidden", "-x", "a" * 64, "a\nb", "a\0b", "ä"])
def test_names_that_are_no_plain_file_names_are_refused(name: str) -> None:
    with pytest.raises(Invalid):
        subject_for(name, ())


@pytest.mark.parametrize(
    "place", ["", "1.2.3", "999.1.1.1", "a..b", "-a.org", "a b", "*", "a.*.org", "x" * 64, "ä.org"]
)
def test_places_that_are_no_addresses_are_refused(place: str) -> None:
    with pytest.raises(Invalid):
        subject_for("web", (place,))


@given(st.text(max_size=80), st.lists(st.text(max_size=300), max_size=3))
def test_any_text_is_a_subject_or_invalid(name: str, places: list[str]) -> None:
    try:
        subject = subject_for(name, tuple(places))
    except Invalid:
        return
    assert "/" not in subject.name
    assert subject.name not in ("", ".", "..")
    assert len(subject.hosts) + len(subject.addresses) <= len(places)
