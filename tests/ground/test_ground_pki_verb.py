"""`boxship pki` as a user types it, and the certificates it makes in the hands of openssl."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from boxship.cli.program import run


def test_from_nothing_to_certificates_that_check_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "pki")
    assert run(["pki", "init", "-d", folder]) == 0
    assert run(["pki", "issue", "server", "web", "localhost", "127.0.0.1", "-d", folder]) == 0
    assert run(["pki", "issue", "client", "alice", "-d", folder, "--days", "90"]) == 0
    capsys.readouterr()
    assert run(["pki", "show", "-d", folder, "--format", "json"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["kind"] for entry in shown] == ["root", "intermediate", "client", "server"]
    assert shown[3]["places"] == ["localhost", "127.0.0.1"]
    assert run(["pki", "check", "-d", folder]) == 0
    assert "bad" not in capsys.readouterr().out
    (tmp_path / "pki" / "issued" / "alice" / "key.pem").chmod(0o644)
    assert run(["pki", "check", "-d", folder]) == 1
    assert "chmod 600" in capsys.readouterr().out


def test_a_server_without_addresses_is_reached_by_its_name(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert run(["pki", "init", "-d", folder]) == 0
    assert run(["pki", "issue", "server", "box.example.org", "-d", folder]) == 0
    assert (tmp_path / "issued" / "box.example.org" / "cert.pem").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["pki", "renew"],
        ["pki", "init", "twice"],
        ["pki", "issue", "robot", "x"],
        ["pki", "issue", "server"],
        ["pki", "issue", "client", "../../etc/x"],
        ["pki", "show", "--format", "yaml"],
        ["pki", "show"],
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "-d", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("boxship: ")


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_openssl_agrees_with_the_chain(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert run(["pki", "init", "-d", folder]) == 0
    assert run(["pki", "issue", "server", "web", "localhost", "-d", folder]) == 0
    assert run(["pki", "issue", "client", "alice", "-d", folder]) == 0
    for name, purpose in (("web", "sslserver"), ("alice", "sslclient")):
        issued = tmp_path / "issued" / name
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(issued / "ca.pem")]
        command += ["-untrusted", str(issued / "cert.pem"), str(issued / "cert.pem")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
