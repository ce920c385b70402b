"""The cache never changes a result: after any change of a context or a Dockerfile, a build that may use the cache
leaves the same files and the same config as one that may not."""

import random
import shutil
from pathlib import Path

import pytest
from cases_kit import Workshop

from daemons import Daemon

ROUNDS = 12
NAMES = ("a.txt", "b.txt", "c.md", "d/a.txt", "d/b.md", "d/e/f.txt", "d/e/g", "h/i", "h/j.txt")
INSTRUCTIONS = (
    "COPY a* /w/",
    "COPY d /w/d",
    "COPY d/e/ /w",
    "COPY . /all/",
    "COPY --parents **/*.txt /parents/",
    "COPY --exclude=**/*.md --exclude=h . /some/",
    "COPY --link --chmod=u=rwX,go=rX h /linked/",
    "COPY --chown=1:2 *.md d/e /owned/",
    "COPY --from=other /made /from-other/",
    "COPY --from=other --parents /made/./x* /parents-other/",
    "RUN mkdir -p /w && cat /w/* > /sum 2>/dev/null || true",
    "RUN --mount=target=/ctx ls -lR /ctx | grep -v total | awk '{print $1, $3, $4, $5, $9, $11}' > /listing",
    "RUN --mount=target=/m,source=d find /m -type f | sort | xargs cat > /bound",
    "RUN --mount=from=other,target=/o cp /o/made/x /copied",
    "RUN chmod -R a-w /w 2>/dev/null; rm -rf /all/d /some",
    "RUN rm -rf /w && mkdir /w && echo anew > /w/anew",
    "WORKDIR /w/deep",
    "ENV V=$V-",
    "ADD h /added",
    "COPY <<X /inline\n$V\nX",
)
FIXED = ("a.txt", "c.md", "d/e/g", "h/i")  # there always, so that no instruction fails


def change(folder: Path, chance: random.Random) -> None:
    """One change of the context."""
    path = folder / chance.choice(NAMES)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = chance.choice(("write", "write", "same", "mode", "remove", "link", "ignore", "folder"))
    if kind == "ignore":
        (folder / ".dockerignore").write_text(
            chance.choice(("", "d/b.md\n", "**/b*\n", "*.txt\n!a.txt\n", "d/*\n!d/e\n"))
        )
    elif kind == "folder":
        path.parent.chmod(chance.choice((0o755, 0o700, 0o775)))
    elif kind == "same" and path.is_file():
        path.write_bytes(path.read_bytes())  # another time, the same content
    elif kind == "mode" and path.is_file() and not path.is_symlink():
        path.chmod(chance.choice((0o644, 0o755, 0o600)))
    elif str(path.relative_to(folder)) not in FIXED and kind in ("remove", "link"):
        path.unlink(missing_ok=True)
        if kind == "link":
            path.symlink_to(chance.choice(("a.txt", "../a.txt", "nowhere")))
    elif not path.is_symlink():
        path.write_text(f"{chance.randrange(1000)}\n")


def dockerfile(chance: random.Random) -> str:
    chosen = chance.choices(INSTRUCTIONS, k=chance.randrange(3, 8))
    other = chance.choice(("COPY d /made", "COPY a* c* /made/", "RUN mkdir /made"))
    return "\n".join(
        [
            "FROM busybox AS other",
            other,
            f"RUN echo {chance.randrange(2)} > /made/x",
            "FROM busybox",
            "ENV V=0",
            *chosen,
        ]
    )


def fill(folder: Path) -> None:
    for name in FIXED:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def run(workshop: Workshop, folder: Path, seed: int) -> None:
    """Changes at random, then a build with the cache and one without."""
    chance = random.Random(seed)
    fill(folder)
    text = dockerfile(chance)
    for round_number in range(ROUNDS):
        for _ in range(chance.randrange(3)):
            change(folder, chance)
        if chance.random() < 0.3:
            text = dockerfile(chance)
        (folder / "Dockerfile").write_text(text + "\n")
        with_cache = workshop.build_folder(folder, f"truth-{seed}-cached")
        without = workshop.build_folder(folder, f"truth-{seed}-fresh", "--no-cache")
        assert with_cache.code == without.code == 0, f"{text}\n{with_cache.output}\n{without.output}"
        left, right = with_cache.listing(), without.listing()
        different = {name for name in left.keys() | right.keys() if left.get(name) != right.get(name)}
        assert not different, f"round {round_number} of seed {seed}: {sorted(different)}\n{text}\n{with_cache.output}"
        assert with_cache.config() == without.config()


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_build_with_the_cache_leaves_what_one_without_leaves(daemon: Daemon, tmp_path: Path, seed: int) -> None:
    workshop = Workshop(daemon, tmp_path)
    folder = tmp_path / "context"
    folder.mkdir()
    try:
        run(workshop, folder, seed)
    finally:
        workshop.close()
        shutil.rmtree(folder)
