"""A published port against the host's own: latency and throughput for a client on the other side of a cable."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.cell import GATE_ADDRESS
from bench.figures import Series
from bench.measures.first_byte import PATIENCE_SECONDS, first_byte

PORT = 18080
OWN_PORT = 18081
LARGE_MB = 256
SERVE = (
    "mkdir /www; echo hello >/www/small; cp /www/small /www/index.html;"
    f" dd if=/dev/zero of=/www/large bs=1M count={LARGE_MB} 2>/dev/null; exec httpd -f -p 80 -h /www"
)


def measure(place, rounds: int) -> Series:
    client = place.engine.client()
    container = client.create(
        ["sh", "-c", SERVE],
        ExposedPorts={"80/tcp": {}},
        HostConfig={"PortBindings": {"80/tcp": [{"HostPort": str(PORT)}]}},
    )
    folder = Path(tempfile.mkdtemp(dir=place.engine.folder))
    (folder / "small").write_text("hello\n")
    with (folder / "large").open("wb") as large:
        for _ in range(LARGE_MB):
            large.write(bytes(1 << 20))
    own = subprocess.Popen(["busybox", "httpd", "-f", "-p", str(OWN_PORT), "-h", str(folder)])
    try:
        from time import perf_counter

        client.start(container)
        first_byte(perf_counter() + PATIENCE_SECONDS)
        place.world.fetch(url(OWN_PORT, "small"), 5)
        repeats = 5 if rounds >= 20 else 1
        return {
            "published port, request": place.world.fetch(url(PORT, "small"), rounds),
            "host's own, request": place.world.fetch(url(OWN_PORT, "small"), rounds),
            "published port MB/s": place.world.fetch(url(PORT, "large"), repeats),
            "host's own MB/s": place.world.fetch(url(OWN_PORT, "large"), repeats),
        }
    finally:
        own.kill()
        own.wait()
        shutil.rmtree(folder)
        client.remove(container)


def url(port: int, path: str) -> str:
    return f"http://{GATE_ADDRESS}:{port}/{path}"
