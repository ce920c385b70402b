"""Clients that do one thing again and again over kept connections, in processes of their own, so that they wait for
no other interpreter than theirs."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from boxship.transport.blocking import Address, Connection, TlsFiles

PER_PROCESS = 4  # clients that share an interpreter
Where = tuple[int, str, str, str]  # port, and the files of TLS
Step = Callable[[Connection, int], None]


def where(address: Address) -> Where:
    assert address.tls is not None
    return address.port, address.tls.authority, address.tls.certificate, address.tls.key


def _connect(place: Where) -> Connection:
    port, *files = place
    return Connection(Address(host="127.0.0.1", port=port, tls=TlsFiles(*files)))


def _ask(connection: Connection, method: str, path: str, body: object = None, media: str = "application/json") -> None:
    data = b"" if body is None else json.dumps(body).encode()
    answer = connection.request(method, path, {"Content-Type": media, "User-Agent": "bench"}, data)
    text = answer.read(1 << 30)
    if answer.status >= 400:
        raise RuntimeError(text[:300].decode())


CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"key": "value", "text": "x" * 200}}
CONFIGS = "/api/v1/namespaces/default/configmaps"


def _step(what: str, mark: str) -> Step:
    """One request of a kind; `mark` keeps names of several clients apart."""
    match what:
        case "get pod":
            return lambda connection, _: _ask(connection, "GET", "/api/v1/namespaces/default/pods/pod-0")
        case "get configmap":
            return lambda connection, _: _ask(connection, "GET", f"{CONFIGS}/fixed")
        case "list 100 pods":
            return lambda connection, _: _ask(connection, "GET", "/api/v1/namespaces/default/pods?limit=100")
        case "list all pods":
            return lambda connection, _: _ask(connection, "GET", "/api/v1/pods")
        case "create configmap":
            return lambda connection, turn: _ask(
                connection, "POST", CONFIGS, {**CONFIG, "metadata": {"name": f"made-{mark}-{turn}"}}
            )
        case "patch configmap":
            return lambda connection, turn: _ask(
                connection, "PATCH", f"{CONFIGS}/{mark}", {"data": {"key": str(turn)}}, "application/merge-patch+json"
            )
    raise ValueError(what)


def _work(place: Where, what: str, marks: list[str], rounds: int) -> list[float]:
    """In a process: its clients side by side; milliseconds of every request."""
    samples: list[float] = []
    failures: list[BaseException] = []

    def client(mark: str) -> None:
        try:
            connection = _connect(place)
            step = _step(what, mark)
            if what == "patch configmap":
                _ask(connection, "POST", CONFIGS, {**CONFIG, "metadata": {"name": mark}})
            own = []
            for turn in range(rounds):
                begun = time.perf_counter()
                step(connection, turn)
                own.append((time.perf_counter() - begun) * 1000)
            samples.extend(own)
            connection.close()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=client, args=(mark,)) for mark in marks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(str(failures[0]))
    return samples


def run(address: Address, what: str, clients: int, rounds: int) -> tuple[list[float], float]:
    """Milliseconds of every request, and requests a second over all clients."""
    marks = [f"{what.replace(' ', '-')}-{time.monotonic_ns()}-{number}" for number in range(clients)]
    groups = [marks[start : start + PER_PROCESS] for start in range(0, clients, PER_PROCESS)]
    place = where(address)
    if len(groups) == 1:
        begun = time.perf_counter()
        samples = _work(place, what, groups[0], rounds)
        return samples, len(samples) / (time.perf_counter() - begun)
    # Not forked: a copy of a process in which threads have run may wait for ever for a lock that nobody holds any more.
    with ProcessPoolExecutor(len(groups), mp_context=get_context("spawn")) as pool:
        for start in [pool.submit(time.monotonic) for _ in groups]:
            start.result()  # processes are there before the clock runs
        begun = time.perf_counter()
        parts = [pool.submit(_work, place, what, group, rounds) for group in groups]
        found = [sample for part in parts for sample in part.result()]
        return found, len(found) / (time.perf_counter() - begun)
