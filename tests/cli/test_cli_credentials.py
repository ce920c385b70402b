"""Credentials in config.json and in helper programs, as Docker's own client has them."""

import base64
import json
import os
import stat
from pathlib import Path

import pytest
from cli_server import FakeDaemon
from cli_terminal import Terminal

from boxship.cli.call import Failure
from boxship.cli.credentials import DEFAULT_SERVER, Keyring, encode, key_of
from boxship.spec.reference import DEFAULT_DOMAIN

HELPER = """#!/bin/sh
# Keeps a secret for each server in a folder, as docker-credential-* programs do.
here="$(dirname "$0")/secrets"
mkdir -p "$here"
body=$(cat)
server=$body
[ "$1" = store ] && server=$(printf '%s' "$body" | sed 's/.*"ServerURL": "\\([^"]*\\)".*/\\1/')
file="$here/$(printf '%s' "$server" | tr -c 'a-z0-9.' _)"
case "$1" in
store) printf '%s' "$body" >"$file" ;;
get) cat "$file" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
erase) rm -f "$file" ;;
list) echo '{"listed.example": "ann"}' ;;
esac
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, with a helper program "test" in PATH."""
    program = tmp_path / "bin" / "docker-credential-test"
    program.parent.mkdir()
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path


def ring(home: Path, config: object = None, **environment: str) -> Keyring:
    path = home / ".docker" / "config.json"
    if config is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(config if isinstance(config, str) else json.dumps(config))
    return Keyring({"HOME": str(home), **environment})


def test_servers_in_any_spelling() -> None:
    for server in ("", DEFAULT_DOMAIN, f"index.{DEFAULT_DOMAIN}", f"https://index.{DEFAULT_DOMAIN}/v1/"):
        assert key_of(server) == DEFAULT_SERVER
    for server in ("host:5000", "https://host:5000", "http://host:5000/v2/", "host:5000/x"):
        assert key_of(server) == "host:5000"


def test_store_get_erase_in_the_file(home: Path) -> None:
    ring(home, {"detachKeys": "ctrl-a", "auths": {"other": {"auth": "eDp5"}}, "HttpHeaders": {"a": "b"}})
    path = home / ".docker" / "config.json"
    assert ring(home).store("https://host:5000/v2/", {"username": "ann", "password": "a:b ü"}) == str(path)
    kept = json.loads(path.read_text())
    assert kept["detachKeys"] == "ctrl-a" and kept["HttpHeaders"] == {"a": "b"} and "other" in kept["auths"]
    assert base64.b64decode(kept["auths"]["host:5000"]["auth"]).decode() == "ann:a:b ü"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["config.json"]
    assert ring(home).get("host:5000") == {"username": "ann", "password": "a:b ü"}
    assert ring(home).get("host") == {}
    assert set(ring(home).all()) == {"host:5000", "other"}
    assert ring(home).erase("host:5000") and not ring(home).erase("host:5000")
    assert set(json.loads(path.read_text())["auths"]) == {"other"}


def test_identity_tokens(home: Path) -> None:
    ring(home).store("", {"username": "ann", "identitytoken": "t0ken"})
    assert ring(home).get(DEFAULT_DOMAIN) == {"username": "ann", "identitytoken": "t0ken"}


def test_link_to_the_file_stays_one(home: Path) -> None:
    real = home / "real.json"
    real.write_text("{}")
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").symlink_to(real)
    ring(home).store("h", {"username": "a", "password": "b"})
    assert (home / ".docker" / "config.json").is_symlink() and "auths" in json.loads(real.read_text())


@pytest.mark.parametrize("fields", [{"credsStore": "test"}, {"credHelpers": {"host:5000": "test"}}])
def test_helper_program_keeps_the_secret(home: Path, fields: dict[str, object]) -> None:
    ring(home, fields)
    assert ring(home).store("host:5000", {"username": "ann", "password": "secret"}) == ""
    assert "secret" not in (home / ".docker" / "config.json").read_text()
    assert ring(home).get("host:5000") == {"username": "ann", "password": "secret"}
    assert "host:5000" in ring(home).all()
    assert ring(home).erase("host:5000")
    assert ring(home).get("host:5000") == {}
    ring(home).store("host:5000", {"username": "ann", "identitytoken": "t"})
    assert ring(home).get("host:5000") == {"identitytoken": "t"}


def test_what_helpers_do_wrong_is_told(home: Path) -> None:
    with pytest.raises(Failure, match="cannot run docker-credential-none"):
        ring(home, {"credsStore": "none"}).get("h")
    for name in ("../x", "a/b", 7):
        with pytest.raises(Failure, match="no program's name"):
            ring(home, {"credsStore": name}).get("h")
    program = home / "bin" / "docker-credential-bad"
    program.write_text("#!/bin/sh\necho rubbish\n")
    program.chmod(0o755)
    with pytest.raises(Failure, match="its answer is no credentials"):
        ring(home, {"credsStore": "bad"}).get("h")
    program.write_text("#!/bin/sh\necho locked >&2\nexit 1\n")
    with pytest.raises(Failure, match=r"error get credentials .*locked"):
        ring(home, {"credsStore": "bad"}).get("h")


def test_files_that_are_none(home: Path) -> None:
    for text in ("", "[]", "{", "null", '"x"'):
        with pytest.raises(Failure, match="cannot read"):
            ring(home, text)
    for auths in (None, [], {"h": None}, {"h": {"auth": "???"}}, {"h": {"auth": 7}}, {"h": {"username": 7}}):
        assert ring(home, {"auths": auths}).get("h") == {}


def test_environment_brings_credentials(home: Path) -> None:
    text = json.dumps({"auths": {"host:1": {"auth": "YW5uOnNlY3JldA=="}}})
    assert ring(home, DOCKER_AUTH_CONFIG=text).get("host:1") == {"username": "ann", "password": "secret"}
    with pytest.raises(Failure):
        ring(home, DOCKER_AUTH_CONFIG="x").get("host:1")
    (home / "elsewhere").mkdir()
    (home / "elsewhere" / "config.json").write_text(text)
    assert ring(home, DOCKER_CONFIG=str(home / "elsewhere")).get("host:1")


def test_header_can_be_read_back() -> None:
    assert json.loads(base64.urlsafe_b64decode(encode({"a": "ü?>"}))) == {"a": "ü?>"}


def test_password_is_asked_for_without_echo(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "config"))
    fake = FakeDaemon(home / "d.sock")
    fake.answers["POST /auth"] = (200, {"Status": "Login Succeeded"})
    try:
        terminal = Terminal(fake.url, "login", "host:5000")
        terminal.until(b"Username: ")
        terminal.type(b"ann\n")
        terminal.until(b"Password: ")
        terminal.type(b"secret\n")
        assert b"secret" not in terminal.until(b"Login Succeeded")
        assert terminal.end() == 0
    finally:
        fake.stop()
    body = next(body for _, path, _, body in fake.asked if path == "/auth")
    assert body == {"username": "ann", "password": "secret", "serveraddress": "host:5000"}
    kept = json.loads((home / "config" / "config.json").read_text())
    assert base64.b64decode(kept["auths"]["host:5000"]["auth"]) == b"ann:secret"
