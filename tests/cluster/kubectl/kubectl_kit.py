"""Stock kubectl as a short word: `k("get pods -o name")`."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from control_kit import KUBECTLS, Control

ELSEWHERE = re.compile(r"^WARNING: version difference|^Warning: .* is deprecated in v1\.[0-9]+\+", re.MULTILINE)


def programs() -> list[tuple[str, str]]:
    """(version, path) of the kubectls that are here; the machine's own is "own"."""
    found = [("own", own)] if (own := shutil.which("kubectl")) else []
    folders = sorted(KUBECTLS.iterdir()) if KUBECTLS.is_dir() else []
    found += [(place.name, str(place / "kubectl")) for place in folders if (place / "kubectl").exists()]
    return found


class Kubectl:
    """One kubectl in one namespace."""

    def __init__(self, control: Control, program: str, namespace: str) -> None:
        self.control = control
        self.program = program
        self.namespace = namespace
        self.version = program.split("/")[-2] if "/build/kubectl/" in program else "own"

    @property
    def is_old(self) -> bool:
        """Whether it is version 1.20."""
        return self.version.startswith("1.20.")

    def begin(self) -> None:
        """Make the namespace, and wait until pods may be created in it."""
        answer = self.control.request(
            "POST",
            "/api/v1/namespaces",
            {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": self.namespace}},
        )
        assert answer.status == 201, answer.body
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts?watch=true&timeoutSeconds=10"
        connection = self.control.connection()
        try:
            connection.request("GET", path)
            assert b'"name":"default"' in connection.getresponse().readline()
        finally:
            connection.close()

    def run(
        self, text: str, data: str | None = None, environment: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        words = ["-n", self.namespace, *shlex.split(text)]
        return self.control.kubectl(
            *words, check=False, data=data, program=self.program, environment=environment, timeout=60
        )

    def __call__(self, text: str, data: str | None = None, environment: Mapping[str, str] | None = None) -> str:
        """What it prints; it must succeed."""
        done = self.run(text, data, environment)
        assert done.returncode == 0, f"kubectl {text}: {done.stderr}{done.stdout}\n{self.control.said()[-1500:]}"
        return done.stdout

    def heard(self, text: str, data: str | None = None) -> str:
        """What it prints on both, without its own opinion on versions."""
        done = self.run(text, data)
        assert done.returncode == 0, f"kubectl {text}: {done.stderr}{done.stdout}"
        return done.stdout + _own_words(done.stderr)

    def fails(self, text: str, data: str | None = None, code: int = 1) -> str:
        """What it complains of; it must not succeed."""
        done = self.run(text, data)
        assert done.returncode == code, f"kubectl {text} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return _own_words(done.stderr).strip()

    def json(self, text: str, data: str | None = None) -> Any:
        return json.loads(self(f"{text} -o json", data))


def _own_words(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not ELSEWHERE.match(line))


def rows(text: str) -> list[list[str]]:
    """The cells of a printed table, without its head."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.strip().splitlines()[1:]]
