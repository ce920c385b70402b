"""A rolling update under constant requests whose client, or whose daemon, is killed in the middle: none is lost, and
the next `up` ends where an undisturbed one does."""

import contextlib
import http.client
import random
import threading
from collections.abc import Callable, Iterator

import pytest
from faults_compose import MOMENTS, Victim
from test_faults_compose_killed import rolling

from daemons import free_port, until

pytestmark = pytest.mark.slow
WORKERS = 3


@contextlib.contextmanager
def asked(port: int) -> Iterator[Callable[[], int]]:
    """Requests without a pause; gives how many were answered. Not one may fail."""
    answered, failed, over = [0], [], threading.Event()

    def ask() -> None:
        while not over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            try:
                connection.request("GET", "/")
                reply = connection.getresponse()
                assert reply.status == 200 and reply.read()
                answered[0] += 1
            except (OSError, AssertionError, http.client.HTTPException) as error:
                failed.append(repr(error))
            finally:
                connection.close()

    threads = [threading.Thread(target=ask) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: answered[0]
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failed, f"{len(failed)} of {answered[0] + len(failed)} were lost: {failed[:3]}"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("who", ["client", "daemon"])
def test_no_request_is_lost(victim: Victim, who: str, seed: int) -> None:
    chance, port = random.Random(seed), free_port()
    victim.file(rolling(0, port))
    victim.compose("up", "-d", "--wait")
    victim.file(rolling(1, port))
    count, _ = victim.counted("up", "-d")
    with asked(port) as answered:
        until(lambda: answered() > 20, 20, "requests are answered")
        for version in range(2, 6):
            victim.file(rolling(version, port, parallel=chance.randrange(3)))
            point, moment = chance.randrange(count), chance.choice(MOMENTS)
            if who == "client":
                victim.killed(point, moment, "up", "-d")
            else:
                victim.gate.arm(point, moment, victim.daemon.kill)
                with victim.begun("up", "-d") as process:
                    process.communicate(timeout=60)
                if victim.gate.acted:
                    victim.daemon.start()
            victim.compose("up", "-d")
            seen = answered()
            until(lambda seen=seen: answered() > seen + 20, 20, "requests are answered")  # type: ignore[misc]
            names = [entry["Name"] for entry in victim.containers()]
            assert names == [f"/{victim.name}-web-{number}" for number in (1, 2, 3)]
            assert {f"V={version}" in entry["Config"]["Env"] for entry in victim.containers()} == {True}
