"""The commands of the documents work: every block marked `sh` is run, in its order, by one shell."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from daemons import PROJECT, docker_program, free_port, running_daemon

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Each document with the options of the daemon that its commands need.
DOCUMENTS: dict[str, tuple[str, ...]] = {
    "build.md": ("--registry", "{registry}"),
    "pki.md": ("--registry", "{registry}", "--trust-policy", "{work}/policy.toml"),
    "registry.md": ("--registry", "{registry}"),
}
SECONDS = 300


def script_of(document: str) -> str:
    blocks = BLOCK.findall((PROJECT / "docs" / document).read_text())
    assert blocks, document
    return "\n".join(blocks)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_commands_of_a_document_work(document: str, tmp_path: Path) -> None:
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "docker").symlink_to(docker_program())
    (tmp_path / "work").mkdir()
    registry = f"127.0.0.1:{free_port()}"
    options = [option.format(registry=registry, work=tmp_path / "work") for option in DOCUMENTS[document]]
    with running_daemon(tmp_path, *options) as daemon:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-x", "-c", script_of(document)],
            cwd=tmp_path / "work",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env={
                **os.environ,
                "BOXSHIP_HOST": daemon.url,
                "DOCKER_HOST": daemon.url,
                "REGISTRY": registry,
                "TCP": f"127.0.0.1:{free_port()}",
                "DOCKER_CONFIG": str(tmp_path / "client"),
                "PATH": f"{Path(sys.executable).parent}:{tmp_path}/programs:{os.environ['PATH']}",
            },
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
