"""What goes into a base image: the busybox tree, its tar stream, and the plan of a Debian base."""

import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.cli.bases import busybox, debian
from boxship.cli.bases.tree import Entry, file, folder, link, tar_stream, with_parents
from boxship.cli.program import run
from boxship.errors import Invalid

NAMES = ["bin/sh", "bin/busybox", "usr/bin/env", "sbin/ip", "usr/sbin/httpd", "linuxrc", "bin/sh"]


def elf(*segments: int) -> bytes:
    """The smallest 64-bit ELF header with program headers of these types."""
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    header[32:40] = (64).to_bytes(8, "little")
    header[54:56] = (56).to_bytes(2, "little")
    header[56:58] = len(segments).to_bytes(2, "little")
    return bytes(header) + b"".join(kind.to_bytes(4, "little") + bytes(52) for kind in segments)


def unpack(entries: list[Entry]) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(tar_stream(entries)))) as archive:
        return {member.name: member for member in archive}


def test_the_busybox_tree_has_what_programs_expect() -> None:
    members = unpack(busybox.entries(elf(1), NAMES))
    assert members["bin/busybox"].mode == 0o755
    assert members["bin/sh"].linkname == "busybox"
    assert members["usr/sbin/httpd"].linkname == "../../bin/busybox"
    assert members["sbin/ip"].linkname == "../bin/busybox"
    assert "linuxrc" not in members
    assert members["tmp"].mode == members["var/tmp"].mode == 0o1777
    assert members["root"].mode == 0o700
    assert members["etc/shadow"].mode == 0o640
    for path in ("etc/resolv.conf", "etc/hosts", "etc/hostname"):
        assert members[path].isreg()
        assert members[path].size == 0
    for path in ("proc", "sys", "dev/shm", "etc", "usr/local/bin"):
        assert members[path].isdir()


def test_users_and_groups_agree() -> None:
    tree = {entry.path: entry for entry in busybox.entries(elf(1), [])}
    groups = {line.split(":")[2] for line in tree["etc/group"].data.decode().splitlines()}
    for line in tree["etc/passwd"].data.decode().splitlines():
        assert line.split(":")[3] in groups, line


def test_the_same_entries_give_the_same_bytes() -> None:
    first = b"".join(tar_stream(busybox.entries(elf(1), NAMES)))
    again = b"".join(tar_stream(reversed(busybox.entries(elf(1), list(reversed(NAMES))))))
    assert hashlib.sha256(first).digest() == hashlib.sha256(again).digest()
    assert len(first) % tarfile.RECORDSIZE == 0


def test_a_program_that_needs_a_linker_is_refused() -> None:
    with pytest.raises(Invalid, match="busybox-static"):
        busybox.check_static(elf(1, 3))
    for other in (b"", b"#!/bin/sh\n", b"\x7fELF\x01" + bytes(100)):
        with pytest.raises(Invalid):
            busybox.check_static(other)


def test_folders_come_before_what_is_in_them() -> None:
    entries = with_parents([file("a/b/c", b"x"), link("a-b", "a"), folder("a", 0o700), file("a/b/c", b"y")])
    assert [entry.path for entry in entries] == ["a", "a-b", "a/b", "a/b/c"]
    assert entries[0].mode == 0o700
    assert entries[-1].data == b"y"


@pytest.mark.parametrize("path", ["", "/etc", "../x", "a/../b", "a//b", "./a", "a/"])
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(Invalid):
        file(path, b"")


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200))))
def test_any_path_is_refused_or_comes_out_as_it_went_in(names: list[tuple[str]]) -> None:
    entries = []
    for (name,) in names:
        try:
            entries.append(folder(name))
        except Invalid:
            continue
    assert set(unpack(entries)) == {entry.path for entry in with_parents(entries)}


LINES = """\
# a comment
deb [signed-by=/usr/share/keyrings/x.gpg arch=amd64] http://mirror.example/debian bookworm main contrib
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm-updates main # trailing
deb http://other.example/apt bookworm-tools main
deb http://incomplete.example bookworm
"""
STANZAS = """\
Types: deb deb-src
# with a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""
MAIN = ("http://mirror.example/debian", "bookworm", ("main", "contrib"))


def test_both_styles_of_sources_are_read() -> None:
    assert debian.parse_lines(LINES) == [
        MAIN,
        ("http://mirror.example/debian", "bookworm-updates", ("main",)),
        ("http://other.example/apt", "bookworm-tools", ("main",)),
    ]
    assert debian.parse_stanzas(STANZAS) == [
        MAIN,
        ("http://mirror.example/debian", "bookworm-updates", ("main", "contrib")),
        ("http://mirror.example/debian-security", "bookworm-security", ("main",)),
    ]


def test_only_the_release_itself_is_taken_with_another_suite_in_its_place() -> None:
    sources = debian.parse_lines(LINES)
    assert [name for _, name, _ in debian.sources_for("bookworm", "bookworm", sources)] == [
        "bookworm",
        "bookworm-updates",
    ]
    assert debian.sources_for("trixie", "bookworm", sources)[0] == (
        "http://mirror.example/debian",
        "trixie",
        ("main", "contrib"),
    )
    assert debian.sources_for("sid", "bookworm", sources) == [("http://mirror.example/debian", "sid", MAIN[2])]


def test_a_machine_that_is_no_debian_needs_a_mirror() -> None:
    for sources in ([], [("http://ubuntu.example/ubuntu", "noble", ("main",))]):
        with pytest.raises(Invalid, match="--mirror"):
            debian.sources_for("bookworm", "", sources)
        found = debian.sources_for("bookworm", "", sources, "http://mirror.example/debian")
        assert debian.render_sources(found) == "deb http://mirror.example/debian bookworm main\n"


def test_package_names_are_checked() -> None:
    assert debian.split_packages(["nginx,curl", "libc6:amd64 nginx"]) == ("nginx", "curl", "libc6:amd64")
    for text in ("-y", "a;b", "$(x)", "../a", "A"):
        with pytest.raises(Invalid):
            debian.split_packages([text])
    for suite in ("", "../x", "-x", "Bookworm", "a b"):
        with pytest.raises(Invalid):
            debian.check_suite(suite)


def test_the_command_is_the_plan() -> None:
    command = debian.build_command("bookworm", [MAIN], ("nginx",), ('Acquire::http::Proxy "http://p:1";',), "/files")
    assert command[-3:] == ["bookworm", "-", "-"]
    assert "--include=nginx" in command
    assert '--aptopt=Acquire::http::Proxy "http://p:1";' in command
    secure = debian.build_command("bookworm", [("https://m.example/debian", "bookworm", ("main",))], (), (), "/files")
    assert "--include=ca-certificates" in secure


def test_only_proxies_are_taken_from_the_machines_settings() -> None:
    dump = 'APT "";\nAcquire::http::Proxy "http://p:1";\nAcquire::https::Proxy "";\nAcquire::Retries "3";\n'
    assert debian.apt_proxies(dump) == ('Acquire::http::Proxy "http://p:1";',)


@pytest.mark.skipif(not shutil.which("busybox"), reason="busybox-static is not installed")
def test_the_busybox_of_this_machine_makes_a_tree_that_runs(tmp_path: Path) -> None:
    streams = [tmp_path / "first.tar", tmp_path / "second.tar"]
    for stream in streams:
        assert run(["base", "busybox", "--quiet", "--output", str(stream)]) == 0
    assert streams[0].read_bytes() == streams[1].read_bytes()
    root = tmp_path / "root"
    root.mkdir()
    with tarfile.open(streams[0]) as archive:
        archive.extractall(root)  # of our own making; Debian 12 has no filters yet
    program = root / "bin" / "busybox"
    assert (root / "usr" / "bin" / "env").resolve() == program
    said = subprocess.run([root / "bin" / "sh", "-c", "echo hello"], capture_output=True, check=True).stdout
    assert said == b"hello\n"


@pytest.mark.parametrize("words", [["fedora"], ["busybox:1.36"], ["busybox", "--include", "nginx"], ["debian:../x"]])
def test_a_base_that_there_is_not_is_refused_by_name(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["base", *words]) == 1
    assert "cannot" in capsys.readouterr().err
