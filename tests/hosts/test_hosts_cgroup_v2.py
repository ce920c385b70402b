"""The engine on a host with pure cgroup v2: a guest in QEMU runs the checks of inside_cgroup_v2, this reads its lines.

The guest is made once, below build/ (a minute and a half, from the distribution's packages); a run takes three minutes.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent.parent
CHECKS = re.findall(r"^@check\ndef (\w+)", (Path(__file__).parent / "inside_cgroup_v2.py").read_text(), re.MULTILINE)
GUEST_SECONDS = 1200
MAKE_SECONDS = 600

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="making the guest needs root"),
    pytest.mark.skipif(
        not shutil.which("qemu-system-x86_64"),
        reason="QEMU is not installed: apt-get install --no-install-recommends qemu-system-x86",
    ),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the guest is made for amd64"),
]


@pytest.fixture(scope="module")
def output() -> Iterator[str]:
    """What the guest printed."""
    script = str(PROJECT / "tools" / "guest-v2.sh")
    subprocess.run([script, "--make"], stdin=subprocess.DEVNULL, timeout=MAKE_SECONDS, check=True)
    done = subprocess.run(
        [script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=GUEST_SECONDS + 60,
        env={**os.environ, "GUEST_SECONDS": str(GUEST_SECONDS)},
        check=False,
    )
    print(done.stdout, done.stderr[-2000:], sep="\n")
    assert "guest: Linux" in done.stdout, "the guest did not boot"
    yield done.stdout


def test_the_guest_has_cgroup_v2_alone(output: str) -> None:
    assert re.search(r"^guest: Linux \S+, cgroup2fs: cpuset cpu io memory pids$", output, re.MULTILINE)


@pytest.mark.parametrize("name", CHECKS)
def test_in_the_guest(output: str, name: str) -> None:
    lines = [line for line in output.splitlines() if re.match(rf"(ok|FAILED) {name} ", line)]
    assert lines, f"{name} was not reached; the guest's last words:\n{output[-1500:]}"
    assert lines[0].startswith("ok "), lines[0]
