"""Network namespaces that last as long as their test process, and a switch that joins them: machines for a cluster.
Each /24 is a segment of its own, and the switch the router between them."""

import concurrent.futures
import contextlib
import ctypes
import subprocess
import threading
import urllib.request
from collections.abc import Callable
from typing import TypeVar

from daemons import surroundings

CLONE_NEWNET = 0x40000000
Result = TypeVar("Result")


class Namespace:
    """A network namespace, kept by a process that ends when its standard input is closed."""

    def __init__(self, hostname: str = "") -> None:
        self.hostname = hostname
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && echo there && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == b"there\n", "no network namespace could be made"

    @property
    def pid(self) -> int:
        return self._keeper.pid

    @property
    def enter(self) -> list[str]:
        """What to put before a command so that it runs in there: the program replaces it, so its pid is the one."""
        return ["nsenter", "--target", str(self.pid), "--net", "--"]

    def shell(self, script: str, *, check: bool = True, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        """A script in the machine's own file system, with this namespace's network."""
        done = subprocess.run(
            [*self.enter, "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=surroundings(),
            check=False,
        )
        assert not check or done.returncode == 0, f"{script}: {done.stderr}{done.stdout}"
        return done

    def run(self, function: Callable[[], Result]) -> Result:
        """What a function answers that runs in a thread in there: sockets that it opens are in there."""
        found: concurrent.futures.Future[Result] = concurrent.futures.Future()

        def work() -> None:
            try:
                with open(f"/proc/{self.pid}/ns/net") as place:
                    if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "cannot enter the network namespace")
                found.set_result(function())
            except BaseException as error:
                found.set_exception(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return found.result()

    def page(self, url: str, *, timeout: float = 5) -> str:
        """A page as it is seen from there."""

        def fetch() -> str:
            with urllib.request.urlopen(url, timeout=timeout) as answer:
                return str(answer.read().decode(errors="replace"))

        return self.run(fetch)

    def answers(self, url: str) -> bool:
        """Whether a page is there."""
        with contextlib.suppress(OSError):
            self.page(url)
            return True
        return False

    def close(self) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait()


class Switch(Namespace):
    """Joins the others: those of one /24 directly, which has its .1 for a router."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._bridges: dict[str, str] = {}
        self.shell("sysctl -qw net.ipv4.ip_forward=1", check=False)

    def _bridge(self, segment: str) -> str:
        if segment not in self._bridges:
            name = self._bridges[segment] = f"switch{len(self._bridges)}"
            self.shell(
                f"ip link add {name} type bridge && ip addr add {segment}.1/24 dev {name} && ip link set {name} up"
            )
        return self._bridges[segment]

    def join(self, other: Namespace, address: str) -> None:
        self._count += 1
        port, segment = f"port{self._count}", address.rpartition(".")[0]
        self.shell(
            f"ip link add {port} type veth peer name eth0 netns {other.pid}"
            f" && ip link set {port} master {self._bridge(segment)} && ip link set {port} up"
        )
        other.shell(
            f"ip addr add {address}/24 dev eth0 && ip link set eth0 up && ip route add default via {segment}.1"
            " && (sysctl -qw net.ipv4.ip_forward=1 || true)"
        )
