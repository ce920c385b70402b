"""How fast output comes through an attached stream, and how fast a written log is read."""

from bench.figures import Series

LINE = "the quick brown fox jumps over the lazy dog, again and again and again"
SIZE = 64 << 20  # bytes of output
REPEATS = 5
TALK = f"yes '{LINE}' | head -c {SIZE}"


def measure(place, rounds: int) -> Series:
    client = place.engine.client()
    series: Series = {"attach MB/s": [], "logs MB/s": []}
    for _ in range(REPEATS if rounds >= 20 else 1):
        streams = {"AttachStdout": True, "AttachStderr": True}
        # The default rotation keeps less than is written here; without a limit all of it can be read back.
        container = client.create(["sh", "-c", TALK], "none", **streams, HostConfig={"LogConfig": log_config(place)})
        try:
            with client.open_stream(
                "POST", f"/containers/{container}/attach?stream=1&stdout=1", upgrade=True
            ) as stream:
                client.start(container)
                series["attach MB/s"].append(rate(stream))
            client.wait(container)
            size, seconds = client.drain("GET", f"/containers/{container}/logs?stdout=1")
            if size < SIZE:
                raise RuntimeError(f"only {size} bytes of log came back")
            series["logs MB/s"].append(SIZE / seconds / 1e6)
        finally:
            client.remove(container)
    return series


def log_config(place) -> dict[str, object]:
    if place.engine.name == "podman":
        return {"Type": "k8s-file", "Config": {}}
    return {"Type": "json-file", "Config": {"max-size": "1g"}}


def rate(stream) -> float:
    """MB/s of payload until the stream ends."""
    from time import perf_counter

    buffer = bytearray(1 << 20)
    size, first = 0, 0.0
    while count := stream.recv_into(buffer):
        first = first or perf_counter()
        size += count
    if size < SIZE:
        raise RuntimeError(f"only {size} bytes came through")
    return SIZE / (perf_counter() - first) / 1e6
