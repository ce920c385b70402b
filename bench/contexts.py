"""The inputs of the image measures, made once for all engines: three build contexts, and archives of images.

A: 20,000 small files, of which 5,000 are ignored. B: four stages that can run side by side, and one that nobody needs.
C: a copy of a file of 500 MB, then a change of it. Contents come from a counter, so that runs can be compared.
"""

import hashlib
import io
import json
import os
import random
import tarfile
from pathlib import Path

from bench.client import IMAGE

FILES = 20_000
IGNORED = 5_000
BIG_MB = 500
LAYERS = 8
TREE_FILES = 10_000
MB = 1 << 20

STAGE = """FROM {image} AS part{number}
COPY seed /seed
RUN sleep 1; echo {number} >/first
RUN sleep 1; cat /seed /first >/out
"""
BUILD_B = (
    "".join(STAGE.format(image=IMAGE, number=number) for number in range(4))
    + f"""FROM {IMAGE} AS unused
RUN sleep 5
FROM {IMAGE}
COPY --from=part0 /out /out0
COPY --from=part1 /out /out1
COPY --from=part2 /out /out2
COPY --from=part3 /out /out3
"""
)


def write_all(folder: Path) -> None:
    """Everything that the measures `building`, `moving` and `unpacking` read."""
    write_a(folder / "A")
    for name, text in (("B", BUILD_B), ("C", f"FROM {IMAGE}\nCOPY big /big\nRUN echo more >>/big\n")):
        (folder / name).mkdir(parents=True)
        (folder / name / "Dockerfile").write_text(text)
    (folder / "B" / "seed").write_text("seed\n")
    with (folder / "C" / "big").open("wb") as big:
        for number in range(BIG_MB):
            big.write(block(number))
    (folder / "layers").mkdir()
    lines = [f"FROM {IMAGE}"]
    for layer in range(LAYERS):
        with (folder / "layers" / f"part{layer}").open("wb") as part:
            for number in range(BIG_MB // LAYERS):
                part.write(block(1000 * (layer + 1) + number))
        lines.append(f"COPY part{layer} /part{layer}")
    (folder / "layers" / "Dockerfile").write_text("\n".join(lines) + "\n")
    write_tree(folder / "tree.tar")


def block(number: int) -> bytes:
    """A megabyte that does not compress, the same for the same number."""
    return random.Random(number).randbytes(MB)


def write_a(folder: Path) -> None:
    kept = FILES - IGNORED
    for number in range(FILES):
        place = folder / ("source" if number < kept else "ignored") / f"d{number % 100:02}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"f{number}.txt").write_text(f"file {number}\n" * (number % 40 + 1))
    (folder / ".dockerignore").write_text("ignored\n**/*.tmp\n")
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY . /src\nRUN find /src -type f | wc -l >/count\n")


def write_tree(path: Path) -> None:
    """An archive as `docker save` writes it: one layer with the first files of this machine's own /usr."""
    layer = io.BytesIO()
    count = 0
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for parent, folders, names in os.walk("/usr"):
            folders.sort()
            for name in sorted(names):
                full = os.path.join(parent, name)
                if count < TREE_FILES and not (os.path.isfile(full) and os.path.getsize(full) > 2 * MB):
                    tar.add(full, full.lstrip("/"), recursive=False)
                    count += 1
            if count >= TREE_FILES:
                break
    data = layer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created_by": "tree"}],
    }
    text = json.dumps(config).encode()
    name = hashlib.sha256(text).hexdigest()
    manifest = [{"Config": f"{name}.json", "RepoTags": ["tree:latest"], "Layers": [f"{digest}/layer.tar"]}]
    members = {f"{name}.json": text, f"{digest}/layer.tar": data, "manifest.json": json.dumps(manifest).encode()}
    with tarfile.open(path, "w") as tar:
        for member, content in members.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
