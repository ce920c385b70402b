"""From the start request to the first byte of a page on a published port."""

import socket
from time import perf_counter, sleep

from bench.cell import GATE_ADDRESS
from bench.figures import Series

PORT = 18080
PATIENCE_SECONDS = 20
SERVE = "echo hello >/index.html; exec httpd -f -p 80 -h /"


def measure(place, rounds: int) -> Series:
    client = place.engine.client()
    samples = []
    for number in range(rounds + 2):
        container = client.create(
            ["sh", "-c", SERVE],
            ExposedPorts={"80/tcp": {}},
            HostConfig={"PortBindings": {"80/tcp": [{"HostPort": str(PORT)}]}},
        )
        before = perf_counter()
        client.start(container)
        first_byte(before + PATIENCE_SECONDS)
        if number >= 2:
            samples.append((perf_counter() - before) * 1000)
        client.remove(container)
    return {"start to first byte": samples}


def first_byte(deadline: float) -> None:
    while True:
        try:
            with socket.create_connection((GATE_ADDRESS, PORT), timeout=5) as stream:
                stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
                if stream.recv(1):
                    return
        except OSError:
            pass
        if perf_counter() > deadline:
            raise RuntimeError("the published port does not answer")
        sleep(0.0005)
