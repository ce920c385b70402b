"""ADD: what it does beyond COPY: archives, addresses, checksums."""

import hashlib
import os
from pathlib import Path

from backports import zstd

from cases.shape import Case, File, Folder, Link, tar_bytes

ARCHIVE = {
    "top": File("top\n", 0o600, "7:8"),
    "dir": Folder(0o750),
    "dir/file": "file\n",
    "dir/link": Link("file"),
}
SERVED = b"served\n"
SUM = hashlib.sha256(SERVED).hexdigest()
COMMIT = "36d175dfcb1b336f025a58c2d2b11593b305c408"  # v1 of cases_kit.serve_repository
UNPACKED = {
    "/x/top": File("top\n", 0o600, "7:8", 1_000_000_000),
    "/x/dir": Folder(0o750),
    "/x/dir/file": File("file\n", 0o644, "0:0"),
    "/x/dir/link": Link("file"),
}


def serve(folder: Path) -> None:
    """What the web server of the cases has."""
    (folder / "file.txt").write_bytes(SERVED)
    (folder / "dated.txt").write_bytes(SERVED)
    os.utime(folder / "dated.txt", (1_000_000_000, 1_000_000_000))
    (folder / "archive.tar.gz").write_bytes(tar_bytes(ARCHIVE, "w:gz"))


CASES = (
    Case(
        "add-file",
        "FROM scratch\nADD a /x/\n",
        {"a": "a"},
        files={"/x/a": File("a", 0o644, "0:0")},
        history=("ADD a /x/ # buildkit",),
    ),
    Case(
        "add-tar", "FROM scratch\nADD a.tar /x/\n", {"a.tar": tar_bytes(ARCHIVE)}, files=UNPACKED, absent=("/x/a.tar",)
    ),
    Case("add-tar-gz", "FROM scratch\nADD a.tgz /x\n", {"a.tgz": tar_bytes(ARCHIVE, "w:gz")}, files=UNPACKED),
    Case("add-tar-bz2", "FROM scratch\nADD a.tar.bz2 /x\n", {"a.tar.bz2": tar_bytes(ARCHIVE, "w:bz2")}, files=UNPACKED),
    Case(
        "add-tar-xz-under-another-name",
        "FROM scratch\nADD a.bin /x\n",
        {"a.bin": tar_bytes(ARCHIVE, "w:xz")},
        files=UNPACKED,
    ),
    Case(
        "add-several-archives-and-files",
        "FROM scratch\nADD *.tar f /x/\n",
        {"a.tar": tar_bytes({"one": "1"}), "b.tar": tar_bytes({"two": "2"}), "f": "f"},
        files={"/x/one": "1", "/x/two": "2", "/x/f": "f"},
    ),
    Case(
        "add-archive-inside-a-folder-stays",
        "FROM scratch\nADD d /x/\n",
        {"d/a.tar": tar_bytes({"one": "1"})},
        files={"/x/a.tar": tar_bytes({"one": "1"})},
        absent=("/x/one",),
    ),
    Case(
        "add-gz-that-is-no-tar-stays",
        "FROM scratch\nADD a.gz /x/\n",
        {"a.gz": b"\x1f\x8b\x08\0not really"},
        files={"/x/a.gz": b"\x1f\x8b\x08\0not really"},
    ),
    Case(
        "add-unpack-false",
        "FROM scratch\nADD --unpack=false a.tar /x/\n",
        {"a.tar": tar_bytes({"one": "1"})},
        files={"/x/a.tar": tar_bytes({"one": "1"})},
        absent=("/x/one",),
    ),
    Case(
        "add-archive-with-chown",
        "FROM scratch\nADD --chown=3:4 a.tar /x/\n",
        {"a.tar": tar_bytes({"one": "1"})},
        files={"/x/one": File("1", None, "3:4")},
    ),
    Case(
        "add-archive-over-files",
        "FROM busybox\nADD a.tar /\n",
        {"a.tar": tar_bytes({"www/index.html": "new", "www/more": "m"})},
        files={"/www/index.html": "new", "/www/more": "m"},
    ),
    Case(
        "add-copy-does-not-unpack",
        "FROM scratch\nCOPY a.tar /x/\n",
        {"a.tar": tar_bytes({"one": "1"})},
        files={"/x/a.tar": tar_bytes({"one": "1"})},
    ),
    Case("add-address", "FROM scratch\nADD @HTTP@/file.txt /x\n", files={"/x": File(SERVED, 0o600, "0:0")}),
    Case(
        "add-address-into-folder",
        "FROM scratch\nARG N=file\nADD @HTTP@/$N.txt /x/\n",
        files={"/x/file.txt": File(SERVED)},
    ),
    Case(
        "add-address-chmod-chown",
        "FROM scratch\nADD --chmod=644 --chown=1:2 @HTTP@/file.txt /x\n",
        files={"/x": File(SERVED, 0o644, "1:2")},
    ),
    Case(
        "add-address-checksum",
        f"FROM scratch\nADD --checksum=sha256:{SUM} @HTTP@/file.txt /x\n",
        files={"/x": SERVED.decode()},
    ),
    Case(
        "add-address-archive-stays",
        "FROM scratch\nADD @HTTP@/archive.tar.gz /x/\n",
        files={"/x/archive.tar.gz": File()},
        absent=("/x/top",),
    ),
    Case("add-address-unpack", "FROM scratch\nADD --unpack=true @HTTP@/archive.tar.gz /x/\n", files=UNPACKED),
    Case(
        "add-address-wrong-checksum",
        f"FROM scratch\nADD --checksum=sha256:{'0' * 64} @HTTP@/file.txt /x\n",
        error=("sha256:" + "0" * 64, "Dockerfile"),
    ),
    Case("add-address-missing", "FROM scratch\nADD @HTTP@/nothing /x\n", error=("404",)),
    Case(
        "add-link-and-exclude",
        "FROM scratch\nADD --link --exclude=*.o d /x/\n",
        {"d/a.o": "o", "d/b": "b"},
        files={"/x/b": "b"},
        absent=("/x/a.o",),
    ),
    Case(
        "add-empty-file-with-an-archives-name",
        "FROM scratch\nADD empty.tar.gz /x/\n",
        {"empty.tar.gz": ""},
        files={"/x/empty.tar.gz": ""},
    ),
    Case(
        "add-tar-zst",
        "FROM scratch\nADD a.tar.zst /x/\n",
        {"a.tar.zst": zstd.compress(tar_bytes(ARCHIVE))},
        files=UNPACKED,
    ),
    Case(
        "add-unpack-true-of-a-file-that-is-none",
        "FROM scratch\nADD --unpack=true f /x/\n",
        {"f": "f"},
        files={"/x/f": "f"},
    ),
    Case(
        "add-archive-from-a-variable-and-relative",
        "FROM scratch\nARG N=a\nWORKDIR /w\nADD $N.tar sub\n",
        {"a.tar": tar_bytes({"one": "1"})},
        files={"/w/sub/one": "1"},
    ),
    Case(
        "add-address-time-is-the-servers",
        "FROM scratch\nADD @HTTP@/dated.txt /x\n",
        files={"/x": File(SERVED, 0o600, "0:0", 1_000_000_000)},
    ),
    Case(
        "add-address-exclude",
        "FROM scratch\nADD --exclude=*.txt @HTTP@/file.txt @HTTP@/archive.tar.gz /x/\n",
        files={"/x/archive.tar.gz": File()},
        absent=("/x/file.txt",),
    ),
    Case(
        "add-address-and-files-together",
        "FROM scratch\nADD @HTTP@/file.txt f /x/\n",
        {"f": "f"},
        files={"/x/file.txt": File(SERVED, 0o600), "/x/f": "f"},
    ),
    Case(
        "add-address-link",
        "FROM busybox\nADD --link @HTTP@/file.txt /x/\n",
        files={"/x/file.txt": File(SERVED), "/etc/passwd": File()},
    ),
    Case(
        "add-git",
        "FROM scratch\nADD @HTTP@/project.git /x/\n",
        files={
            "/x/file": File("main\n", 0o644, "0:0"),
            "/x/sub": Folder(0o755),
            "/x/sub/one": "1\n",
            "/x/tool": File(None, 0o755),
        },
        absent=("/x/.git",),
    ),
    Case("add-git-branch", "FROM scratch\nADD @HTTP@/project.git#side /x\n", files={"/x/file": "side\n"}),
    Case("add-git-tag", "FROM scratch\nADD @HTTP@/project.git#v1 /x\n", files={"/x/file": "main\n"}),
    Case(
        "add-git-folder",
        "FROM scratch\nADD @HTTP@/project.git#main:sub /x/\n",
        files={"/x/one": "1\n"},
        absent=("/x/file", "/x/sub"),
    ),
    Case(
        "add-git-query",
        "FROM scratch\nADD @HTTP@/project.git?branch=side&subdir=sub /x/\n",
        files={"/x/one": "1\n"},
        absent=("/x/file",),
    ),
    Case(
        "add-git-keep-git-dir",
        "FROM scratch\nADD --keep-git-dir @HTTP@/project.git /x/\n",
        files={"/x/file": "main\n", "/x/.git/HEAD": File()},
        again=False,
    ),
    Case(
        "add-git-checksum",
        f"FROM scratch\nADD --checksum={COMMIT[:7]} @HTTP@/project.git#v1 /x/\nADD @HTTP@/project.git#{COMMIT} /y/\n",
        files={"/x/file": "main\n", "/y/file": "main\n"},
    ),
    Case(
        "add-git-wrong-checksum",
        f"FROM scratch\nADD --checksum={COMMIT[:7]} @HTTP@/project.git#side /x/\n",
        error=(f"expected checksum to match {COMMIT[:7]}", "Dockerfile:2"),
    ),
    Case(
        "add-git-flags",
        "FROM scratch\nADD --chown=1:2 --chmod=u=rwX,go= --exclude=sub --link @HTTP@/project.git /x/\n",
        files={"/x/file": File("main\n", 0o600, "1:2"), "/x/tool": File(None, 0o700, "1:2")},
        absent=("/x/sub",),
    ),
    Case(
        "add-git-missing-reference", "FROM scratch\nADD @HTTP@/project.git#none /x/\n", error=("none", "Dockerfile:2")
    ),
    Case("add-git-over-ssh", "FROM scratch\nADD git@example.org:a/b.git /x/\n", error=("unsupported: git over ssh",)),
    Case(
        "add-exclude-of-an-archive",
        "FROM scratch\nADD --exclude=b.* *.tar /x/\n",
        {"a.tar": tar_bytes({"one": "1"}), "b.tar": tar_bytes({"two": "2"})},
        files={"/x/one": "1"},
        absent=("/x/two", "/x/b.tar"),
    ),
    Case(
        "add-archive-has-its-own-modes",
        "FROM scratch\nADD --chmod=700 a.tar f /x/\n",
        {"a.tar": tar_bytes({"one": File("1", 0o640), "d": Folder(0o750)}), "f": "f"},
        files={"/x/one": File("1", 0o640), "/x/d": Folder(0o750), "/x/f": File("f", 0o700)},
    ),
)
