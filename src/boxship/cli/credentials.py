"""Who the user is to registries, kept where Docker's own client keeps it, in the same form: config.json, with programs
(docker-credential-NAME) that keep secrets better, where the file names some.

Fields of the file that are not ours stay as they are. A secret is only ever passed on standard input, never as an
argument, and the file can be read by its owner alone.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from typing import Any

from boxship.cli.call import Call, Failure
from boxship.spec.reference import DEFAULT_DOMAIN, parse

DEFAULT_SERVER = f"https://index.{DEFAULT_DOMAIN}/v1/"
TOKEN_USER = "<token>"  # stands for the user where the secret is an identity token
NOT_FOUND = "credentials not found in native keychain"
HELPER_SECONDS = 60

Fields = dict[str, str]


def hostname(server: str) -> str:
    """The host of a server's address in any spelling."""
    return (server.partition("://")[2] or server).partition("/")[0]


def key_of(server: str) -> str:
    """The name under which a server's credentials are kept."""
    host = hostname(server)
    return DEFAULT_SERVER if host in ("", DEFAULT_DOMAIN, f"index.{DEFAULT_DOMAIN}") else host


class Keyring:
    """The user's config.json. Reads at once, writes as a whole."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        home = environment.get("HOME") or os.path.expanduser("~")
        self.path = os.path.join(environment.get("DOCKER_CONFIG") or os.path.join(home, ".docker"), "config.json")
        self._environment = environment
        self._config = self._read()

    def _read(self) -> dict[str, Any]:
        try:
            with open(self.path, encoding="utf-8") as file:
                config = json.load(file)
        except FileNotFoundError:
            return {}
        except (ValueError, OSError) as error:
            raise Failure(f"cannot read {self.path}: {error}") from None
        if not isinstance(config, dict):
            raise Failure(f"cannot read {self.path}: it is no JSON object")
        return config

    def get(self, server: str) -> Fields:
        """Fields of credentials for a server; {} for none."""
        key = key_of(server)
        helper = self._helper(key)
        if helper:
            return self._ask(helper, key)
        for source in (self._given(), self._entries()):
            for name in (key, *(name for name in source if hostname(name) == hostname(key))):
                found = _fields(source.get(name))
                if found:
                    return found
        return {}

    def all(self) -> dict[str, Fields]:
        """The credentials of every server that is known, by its name in the file."""
        names = dict.fromkeys((*self._given(), *self._entries(), *self._helpers()))
        store = self._config.get("credsStore")
        if isinstance(store, str) and store:
            listed = json.loads(self._run(store, "list", "") or "{}")
            names |= dict.fromkeys(listed if isinstance(listed, dict) else {})
        return {name: found for name in names if (found := self.get(name))}

    def store(self, server: str, fields: Fields) -> str:
        """Keep credentials; the warning to show, where they are kept in the clear."""
        key = key_of(server)
        entries = self._entries()
        helper = self._helper(key)
        if helper:
            token = fields.get("identitytoken")
            secret = {
                "ServerURL": key,
                "Username": TOKEN_USER if token else fields.get("username", ""),
                "Secret": token or fields.get("password", ""),
            }
            self._run(helper, "store", json.dumps(secret))
            entries[key] = {}  # says that there are some
        else:
            pair = f"{fields.get('username', '')}:{fields.get('password', '')}"
            entry = {"auth": base64.b64encode(pair.encode()).decode()}
            if fields.get("identitytoken"):
                entry = {"auth": base64.b64encode(f"{fields.get('username', '')}:".encode()).decode()}
                entry["identitytoken"] = fields["identitytoken"]
            entries[key] = entry
        self._config["auths"] = entries
        self._write()
        return "" if helper else self.path

    def erase(self, server: str) -> bool:
        """Forget a server; whether anything was known of it."""
        key = key_of(server)
        entries = self._entries()
        names = [name for name in entries if name == key or hostname(name) == hostname(key)]
        helper = self._helper(key)
        known = bool(names) or bool(helper and self._ask(helper, key))
        if helper:
            self._run(helper, "erase", key, missing_is_fine=True)
        if names:
            for name in names:
                del entries[name]
            self._config["auths"] = entries
            self._write()
        return known

    # the file

    def _entries(self) -> dict[str, Any]:
        entries = self._config.get("auths")
        return dict(entries) if isinstance(entries, dict) else {}

    def _given(self) -> dict[str, Any]:
        """Credentials that the environment brings, as a build service does."""
        text = self._environment.get("DOCKER_AUTH_CONFIG", "")
        try:
            entries = json.loads(text).get("auths") if text else None
        except (ValueError, AttributeError):
            raise Failure("cannot read DOCKER_AUTH_CONFIG: it is no JSON object") from None
        return entries if isinstance(entries, dict) else {}

    def _write(self) -> None:
        path = os.path.realpath(self.path)
        folder = os.path.dirname(path)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor, staged = tempfile.mkstemp(dir=folder, prefix="config.json.")  # mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(self._config, file, indent="\t")
                file.flush()
                os.fsync(file.fileno())
            os.replace(staged, path)
        except BaseException:
            os.unlink(staged)
            raise

    # programs

    def _helpers(self) -> dict[str, Any]:
        helpers = self._config.get("credHelpers")
        return helpers if isinstance(helpers, dict) else {}

    def _helper(self, key: str) -> str:
        helpers = self._helpers()
        name = helpers.get(key) or helpers.get(hostname(key)) or self._config.get("credsStore") or ""
        if not isinstance(name, str) or "/" in name:
            raise Failure(f"cannot use the credential helper {name!r} of {self.path}: it is no program's name")
        return name

    def _ask(self, helper: str, key: str) -> Fields:
        text = self._run(helper, "get", key, missing_is_fine=True)
        if not text:
            return {}
        try:
            answer = json.loads(text)
            user, secret = str(answer["Username"]), str(answer["Secret"])
        except (ValueError, KeyError, TypeError):
            raise Failure(f"cannot use docker-credential-{helper}: its answer is no credentials") from None
        return {"identitytoken": secret} if user == TOKEN_USER else {"username": user, "password": secret}

    def _run(self, helper: str, verb: str, text: str, *, missing_is_fine: bool = False) -> str:
        program = f"docker-credential-{helper}"
        try:
            done = subprocess.run(
                [program, verb], input=text, capture_output=True, text=True, timeout=HELPER_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failure(f"cannot run {program}: {error}") from None
        if done.returncode:
            said = (done.stdout or done.stderr).strip()
            if missing_is_fine and NOT_FOUND in said:
                return ""
            raise Failure(f"error {verb} credentials - err: exit status {done.returncode}, out: `{said}`")
        return done.stdout


def _fields(entry: object) -> Fields:
    """An entry of `auths` in the fields of the API."""
    if not isinstance(entry, dict):
        return {}
    found = {
        name: entry[name] for name in ("username", "password", "identitytoken", "registrytoken") if entry.get(name)
    }
    if entry.get("auth"):
        try:
            user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        except (binascii.Error, ValueError, TypeError):
            return {}
        found |= {"username": user, "password": password.rstrip("\0")}
    return {name: value for name, value in found.items() if isinstance(value, str) and value}


def encode(value: object) -> str:
    """As the API's headers want it."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def auth_header(call: Call, reference: str) -> dict[str, str]:
    """The header that says who the user is to the registry of an image's name."""
    domain = parse(reference).domain
    fields = Keyring(call.environment).get(domain)
    return {"X-Registry-Auth": encode({**fields, "serveraddress": key_of(domain)} if fields else {})}


def every_registry(call: Call) -> dict[str, Fields]:
    """Who the user is to every registry, for a build."""
    return Keyring(call.environment).all()
