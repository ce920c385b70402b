"""`boxship pki` on files, and the life of a certificate, as a user types it."""

import datetime
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from boxship.cli.program import run
from boxship.pki import places
from boxship.pki.live import renewal_time
from daemons import until


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    assert run(["pki", "init", "-d", "pki"]) == 0
    for kind, name in (("signer", "alice"), ("signer", "bob"), ("server", "box"), ("client", "carol")):
        assert run(["pki", "issue", kind, name, "-d", "pki"]) == 0
    (tmp_path / "letter").write_bytes(b"dear bob\r\n\xff")
    capsys.readouterr()
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    capsys.readouterr()
    assert run(["pki", *words, "-d", "pki", "--format", "json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_file_is_signed_and_verified(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pki", "sign", "-c", "pki/issued/alice", "letter"]) == 0
    assert run(["pki", "verify", "letter.cms", "letter", "-d", "pki"]) == 0
    assert "signed by alice" in capsys.readouterr().out
    assert run(["pki", "verify", "letter.cms", "letter", "--ca", "pki/ca.pem"]) == 0
    (home / "letter").write_bytes(b"dear eve")
    assert run(["pki", "verify", "letter.cms", "letter", "-d", "pki"]) == 1
    assert "not what alice signed" in capsys.readouterr().err
    assert run(["pki", "verify", "letter.cms", "-d", "pki"]) == 1
    assert run(["pki", "revoke", "alice", "-d", "pki", "--reason", "key-compromise"]) == 0
    (home / "letter").write_bytes(b"dear bob\r\n\xff")
    assert run(["pki", "verify", "letter.cms", "letter", "-d", "pki"]) == 1
    assert "revoked" in capsys.readouterr().err
    chain = (home / "pki" / "intermediate.pem").read_bytes() + (home / "pki" / "crl.pem").read_bytes()
    (home / "list.pem").write_bytes(chain)
    assert run(["pki", "verify", "letter.cms", "letter", "--ca", "pki/ca.pem", "--crl", "list.pem"]) == 1


def test_a_file_is_signed_and_encrypted_and_comes_back(home: Path) -> None:
    assert run(["pki", "sign", "-c", "pki/issued/alice", "--attach", "letter", "-o", "signed"]) == 0
    assert run(["pki", "encrypt", "-t", "pki/issued/bob", "signed", "--der"]) == 0
    assert run(["pki", "decrypt", "-c", "pki/issued/bob", "signed.cms", "-o", "opened"]) == 0
    assert (home / "opened").stat().st_mode & 0o777 == 0o600
    assert run(["pki", "verify", "opened", "-d", "pki", "-o", "back"]) == 0
    assert (home / "back").read_bytes() == (home / "letter").read_bytes()
    assert run(["pki", "decrypt", "-c", "pki/issued/alice", "signed.cms"]) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["sign", "letter"],
        ["sign", "-c", "pki/issued/alice/cert.pem", "letter"],
        ["sign", "-c", "pki/issued/alice/cert.pem", "-k", "pki/issued/bob/key.pem", "letter"],
        ["sign", "-c", "pki/issued/alice", "missing"],
        ["verify", "letter", "-d", "pki"],
        ["encrypt", "letter"],
        ["encrypt", "-t", "letter", "letter"],
        ["decrypt", "-c", "pki/issued/bob", "letter"],
        ["renew", "-d", "pki"],
        ["renew", "nobody", "-d", "pki"],
        ["renew", "alice", "--due", "-d", "pki"],
        ["renew", "alice", "--valid", "0s", "-d", "pki"],
        ["revoke", "nobody", "-d", "pki"],
        ["revoke", "alice", "--reason", "boredom", "-d", "pki"],
        ["issue", "signer", "x", "--key-type", "dsa", "-d", "pki"],
        ["policy", "explain", "letter"],
        ["policy", "check", "letter"],
        ["show", "nobody", "-d", "pki"],
    ],
)
def test_what_cannot_be_done_is_said(home: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pki", *words]) == 1
    told = capsys.readouterr().err
    assert told.startswith("boxship: ") and "Traceback" not in told


def test_renewed_revoked_and_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = (home / "pki/issued/box/key.pem").read_bytes()
    assert run(["pki", "renew", "box", "-d", "pki"]) == 0
    assert (home / "pki/issued/box/key.pem").read_bytes() == key
    assert run(["pki", "renew", "box", "--new-key", "--key-type", "rsa", "-d", "pki"]) == 0
    assert (home / "pki/issued/box/key.pem").read_bytes() != key
    every = shown(capsys, "show", "box")
    assert len({entry["serial"] for entry in every}) == 3 and sum(bool(entry["path"]) for entry in every) == 1
    assert {entry["key"] for entry in every} == {"ec", "rsa"}
    assert run(["pki", "revoke", "box", "-d", "pki", "--reason", "superseded"]) == 0
    assert all(entry["revoked"] == "superseded" for entry in shown(capsys, "show", "box"))
    assert run(["pki", "renew", "box", "-d", "pki"]) == 1  # with a new key only
    assert run(["pki", "renew", "box", "-d", "pki", "--new-key"]) == 0
    assert [entry["revoked"] for entry in shown(capsys, "list") if entry["name"] == "box"] == [""]
    assert run(["pki", "revoke", "carol", "-d", "pki", "--reason", "hold"]) == 0
    assert run(["pki", "revoke", "carol", "-d", "pki", "--undo"]) == 0
    assert run(["pki", "revoke", str(every[0]["serial"]), "-d", "pki", "--undo"]) == 1
    assert run(["pki", "check", "-d", "pki"]) == 0
    assert run(["pki", "renew", "--due", "-d", "pki"]) == 0
    root = (home / "pki/root-key.pem").rename(home / "root-key.pem")
    assert run(["pki", "renew", "intermediate", "-d", "pki"]) == 1
    assert run(["pki", "renew", "intermediate", "-d", "pki", "--root-key", str(root)]) == 0
    assert run(["pki", "check", "-d", "pki"]) == 0
    assert run(["pki", "renew", "carol", "-d", "pki", "--valid", "1h"]) == 0


def test_short_lived_ones_are_renewed_when_due(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pki", "issue", "client", "brief", "-d", "pki", "--valid", "1s"]) == 0
    before = {entry["name"]: entry["serial"] for entry in shown(capsys, "list")}
    leaf = places.one_certificate(home / "pki" / "issued" / "brief" / "cert.pem")
    until(lambda: datetime.datetime.now(datetime.UTC) >= renewal_time(leaf), 5, "two thirds of a second are over")
    assert run(["pki", "renew", "--due", "-d", "pki"]) == 0
    after = {entry["name"]: entry["serial"] for entry in shown(capsys, "list")}
    assert {name for name in after if after[name] != before[name]} == {"brief"}


def test_a_key_pair_for_images(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pki", "cosign-key"], {"COSIGN_PASSWORD": "x"}) == 0
    assert (home / "cosign.key").stat().st_mode & 0o777 == 0o600
    assert run(["pki", "cosign-key"], {"COSIGN_PASSWORD": "x"}) == 1
    assert run(["pki", "cosign-key", "-o", "other"], {}) == 1
    assert "passphrase" in capsys.readouterr().err
    (home / "secret").write_text("hidden\n")
    (home / "secret").chmod(0o600)
    assert run(["pki", "cosign-key", "-o", "other", "--passphrase-file", "secret"], {}) == 0
    rule = '[[rule]]\nrepository = "x.org/**"\naction = "require"\nkeys = ["a"]\n'
    policy = f'[keys]\na = "cosign.pub"\nb = "gone.pub"\n{rule}'
    (home / "policy.toml").write_text(policy)
    assert run(["pki", "policy", "check", "policy.toml"]) == 1
    assert "gone.pub: no such file" in capsys.readouterr().out
    (home / "policy.toml").write_text(policy.replace("gone", "other"))
    assert run(["pki", "policy", "check", "policy.toml"]) == 0


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_openssl_reads_the_list_of_what_was_revoked(home: Path) -> None:
    assert run(["pki", "revoke", "carol", "-d", "pki", "--reason", "key-compromise"]) == 0
    (home / "chain.pem").write_bytes((home / "pki/ca.pem").read_bytes() + (home / "pki/crl.pem").read_bytes())
    for name, code in (("box", 0), ("carol", 2)):
        leaf = f"pki/issued/{name}/cert.pem"
        command = ["openssl", "verify", "-crl_check", "-CAfile", "chain.pem", "-untrusted", leaf, leaf]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        assert code == 0 or "certificate revoked" in done.stderr
