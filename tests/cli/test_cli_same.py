"""What only shows things prints what the stock client prints, byte for byte."""

import hashlib
import json
import shlex
import subprocess
from collections.abc import Iterator

import pytest

from archives import tar_of
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
images --format {{.Repository}}|{{.CreatedAt}}|{{.CreatedSince}}
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
history --human=false times/epoch
history times/epoch
system df
version --format {{.Server.Version}}
info --format {{.ServerVersion}}
"""


TRIES = 5
TELLING = 28  # the first version of the stock client whose `inspect` shows what the daemon says, not what it knows
DATING = 28  # the first one known to show no age of a step that is of the epoch or before
TIMES = {  # when images may have been made: reproducible builds begin with the epoch, and a config may tell nothing
    "never": None,
    "zero": "0001-01-01T00:00:00Z",
    "long-ago": "0700-01-01T00:00:00Z",
    "before": "1960-01-01T00:00:00Z",
    "epoch": "1970-01-01T00:00:00Z",
    "second": "1970-01-01T00:00:01Z",
    "future": "2100-01-01T00:00:00Z",
}


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
    daemon.boxship("load", data=made_at_times())
    yield daemon
    daemon.remove_all()
    daemon.boxship("rmi", *(f"times/{name}" for name in TIMES))


def made_at_times() -> bytes:
    """Images, as `docker load` takes them, with each of TIMES as theirs and that of their steps."""
    layer = tar_of({"x": "x"})
    files: dict[str, bytes | str] = {"layer.tar": layer}
    manifest = []
    for name, moment in TIMES.items():
        created = {} if moment is None else {"created": moment}
        steps = [{**created, "created_by": "one"}, {"created_by": "two", "empty_layer": True}]
        roots = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}
        config = {"architecture": "amd64", "os": "linux", **created, "config": {}, "rootfs": roots, "history": steps}
        files[f"{name}.json"] = json.dumps({**config, "author": name})
        manifest.append({"Config": f"{name}.json", "RepoTags": [f"times/{name}:latest"], "Layers": ["layer.tar"]})
    return tar_of({**files, "manifest.json": json.dumps(manifest)})


@pytest.mark.parametrize("words", SAME.splitlines())
def test_prints_what_the_stock_client_prints(shown: Daemon, version: int, words: str) -> None:
    if version < TELLING and "inspect " in words and "{{" not in words and not words.startswith("volume"):
        pytest.skip(f"the stock client {version} prints its own selection of fields")
    if version < DATING and words == "history times/epoch":
        pytest.skip(f"the stock client {version} counts the years since the epoch")

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
