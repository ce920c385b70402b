"""exec of `true` in a running container, from the request to the end of its stream."""

from bench.figures import Series, timed


def measure(place, rounds: int) -> Series:
    client = place.engine.client()
    container = client.create(["sleep", "1000000"])
    client.start(container)

    def once() -> None:
        body = {"Cmd": ["true"], "AttachStdout": True, "AttachStderr": True}
        identity = client.ask("POST", f"/containers/{container}/exec", body)["Id"]
        client.drain("POST", f"/exec/{identity}/start", {"Detach": False, "Tty": False}, upgrade=True)

    try:
        for _ in range(3):
            once()
        return {"true": [timed(once) for _ in range(rounds)]}
    finally:
        client.remove(container)
