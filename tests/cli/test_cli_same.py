"""What only shows things prints what the stock client prints, byte for byte."""

import shlex
import subprocess
from collections.abc import Iterator

import pytest

from daemons import Daemon, docker_program, until

SAME = """\
ps -a
ps -a --no-trunc
ps -as
ps -aq
ps -a --format {{.Names}}|{{.Image}}|{{.Ports}}|{{.Mounts}}|{{.Networks}}|{{.State}}|{{.Size}}
images
images --digests
images --no-trunc
network ls
network ls --no-trunc
network inspect bridge
volume ls
volume ls -q
volume inspect data
port web
port web 80/tcp
top web
diff web
logs web
inspect web
inspect busybox
container inspect web
inspect -f '{{range .Mounts}}{{.Destination}}{{end}} {{json .Config.Env}} {{.HostConfig.NetworkMode}}' web
ps -a --format 'table {{.ID}}\\t{{.Names | upper}}\\t{{.Label "a"}}'
history --no-trunc busybox
system df
version --format {{.Server.Version}}
info --format {{.ServerVersion}}
"""


TRIES = 5
TELLING = 28  # the first version of the stock client whose `inspect` shows what the daemon says, not what it knows


@pytest.fixture(scope="module")
def version() -> int:
    text = subprocess.run([docker_program(), "--version"], capture_output=True, text=True, check=True).stdout
    return int(text.split()[2].partition(".")[0])


@pytest.fixture(scope="module")
def shown(daemon: Daemon) -> Iterator[Daemon]:
    """A daemon with things to show, which no test changes."""
    program = "touch /new; echo hi; sleep 600"
    daemon.boxship("run", "-d", "--name", "web", "-p", "80", "-v", "data:/data", "busybox", "sh", "-c", program)
    daemon.boxship("run", "--name", "ended", "-l", "a=b", "busybox", "false", check=False)
    until(lambda: daemon.boxship("logs", "web").stdout == "hi\n", 10, "the first line")
    yield daemon
    daemon.remove_all()


@pytest.mark.parametrize("words", SAME.splitlines())
def test_prints_what_the_stock_client_prints(shown: Daemon, version: int, words: str) -> None:
    if version < TELLING and "inspect " in words and "{{" not in words and not words.startswith("volume"):
        pytest.skip(f"the stock client {version} prints its own selection of fields")

    def both() -> tuple[str, str]:
        stock = subprocess.run(
            [docker_program(), "-H", shown.url, *shlex.split(words)], capture_output=True, text=True, check=True
        )
        return in_order(words, shown.boxship(*shlex.split(words)).stdout), in_order(words, stock.stdout)

    ours, stock = both()
    for _ in range(TRIES):  # a second may have turned between the two
        if ours != stock:
            ours, stock = both()
    assert ours == stock


def in_order(words: str, text: str) -> str:
    """The stock client shows the repositories of one image in an order that is another each time."""
    return "\n".join(sorted(text.splitlines())) if words.startswith("images") else text
