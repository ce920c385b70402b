"""Reads the logs of all pods of its node and sends new lines to a collector.

It remembers how far it has come in a file, and only after the collector has answered: after a crash a line may come
twice, but none is lost.
"""

import glob
import json
import os
import time
import urllib.request

LOGS = "/var/log/pods"
POSITIONS = "/positions/positions"
COLLECTOR = "http://collector/lines"
LINES = 500  # in one message
PAUSE = 0.5  # seconds between two looks


def read_new(path: str, begin: int) -> tuple[list[dict], int]:
    """The whole lines from there on, and where they end. A shorter file was begun anew."""
    folder, container, _ = path.rsplit("/", 2)
    namespace, pod, _ = os.path.basename(folder).rsplit("_", 2)
    begin = 0 if os.path.getsize(path) < begin else begin
    found = []
    with open(path, "rb") as file:
        file.seek(begin)
        for line in file:
            if not line.endswith(b"\n") or len(found) == LINES:
                break
            begin += len(line)
            stamp, stream, _, text = line.decode(errors="replace").rstrip("\n").split(" ", 3)
            place = {"namespace": namespace, "pod": pod, "container": container, "node": os.environ["NODE_NAME"]}
            found.append({"time": stamp, "stream": stream, "text": text, **place})
    return found, begin


def send(lines: list[dict]) -> None:
    with urllib.request.urlopen(COLLECTOR, data=json.dumps(lines).encode(), timeout=5):
        pass


def main() -> None:
    positions: dict[str, int] = {}
    if os.path.exists(POSITIONS):
        with open(POSITIONS) as file:
            positions = json.load(file)
    while True:
        for path in glob.glob(f"{LOGS}/*/*/*.log"):
            if "_shipper-" in path or "_collector-" in path:
                continue  # our own would never end
            try:
                lines, end = read_new(path, positions.get(path, 0))
                if lines:
                    send(lines)
                    positions[path] = end
            except (OSError, ValueError) as error:
                print(f"{path}: {error}", flush=True)
        with open(f"{POSITIONS}.new", "w") as file:
            json.dump(positions, file)
        os.replace(f"{POSITIONS}.new", POSITIONS)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
