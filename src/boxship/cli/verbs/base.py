"""`boxship base`: a base image made of the distribution's own packages, sent to the daemon as a tar stream.

No registry is needed. The tree is made on this machine; the daemon only imports it.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "busybox | debian[:SUITE]",
    (
        Flag("-i, --include list", "Debian: packages to install besides the base (separated by commas)"),
        Flag("--mirror string", "Debian: URL of an archive to take the packages from (default: this machine's own)"),
        Flag("-t, --tag string", "Name of the image (default: what was asked for, busybox:latest)"),
        Flag("-o, --output string", "Write the tar stream to a file (- for stdout) instead of the daemon"),
        Flag("-q, --quiet", "Print only the image's id"),
    ),
    least=1,
    most=1,
    completes=("bases",),
)
CHUNK = 1 << 18  # bytes read from a program at a time
LAST_LINES = 20  # of a failed program's output
DAY = 86400  # seconds
MILESTONES = ("I: running apt-get update", "I: downloading", "I: extracting", "I: installing", "I: creating tar")


def run(call: Call) -> int:
    kind, _, suite = call.arguments[0].partition(":")
    say = (lambda text: None) if call.options.on("quiet") else call.warn
    if kind == "busybox" and not suite:
        if call.options.texts("include") or call.options.text("mirror"):
            raise Failure("cannot include packages in busybox, nor take it from a mirror: only debian has packages")
        chunks, changes = busybox(say)
    elif kind == "debian":
        chunks, changes = debian(suite, call.options.texts("include"), call.options.text("mirror"), say)
    else:
        raise Failure(f"cannot make the base {call.arguments[0]}: it must be busybox, debian or debian:SUITE")
    output = call.options.text("output")
    if output:
        _write(output, chunks)
        return 0
    name, _, tag = (call.options.text("tag") or call.arguments[0]).partition(":")
    identity = _import(call, chunks, f"{name}:{tag or 'latest'}", changes, f"boxship base {call.arguments[0]}")
    call.line(identity if call.options.on("quiet") else f"{name}:{tag or 'latest'} {identity}")
    return 0


def busybox(say: Callable[[str], None]) -> tuple[Iterable[bytes], tuple[str, ...]]:
    """The tar stream of the busybox base, and the image's settings as Dockerfile lines."""
    from boxship.cli.bases.busybox import CHANGES, entries
    from boxship.cli.bases.tree import tar_stream

    program = _find("busybox", "busybox-static")
    names = subprocess.run([program, "--list-full"], capture_output=True, text=True, check=True).stdout.split()
    say(f"busybox: {program} under {len(names)} names")
    return tar_stream(entries(Path(program).read_bytes(), names)), CHANGES


def debian(
    suite: str, include: list[str], mirror: str, say: Callable[[str], None]
) -> tuple[Iterable[bytes], tuple[str, ...]]:
    """The tar stream of a Debian base, made while it is read, and the image's settings as Dockerfile lines."""
    from boxship.cli.bases import debian as plan

    _find("mmdebstrap", "mmdebstrap")
    machine = _machine_suite()
    suite = plan.check_suite(suite or machine or "stable")
    packages = plan.split_packages(include)
    sources = plan.sources_for(suite, machine, _machine_sources(), mirror)
    for uri, name, components in sources:
        say(f"debian: {uri} {name} {' '.join(components)}")
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    return _bootstrap(suite, sources, packages, plan.apt_proxies(dump), say), plan.CHANGES


def _bootstrap(
    suite: str,
    sources: list[tuple[str, str, tuple[str, ...]]],
    packages: tuple[str, ...],
    proxies: tuple[str, ...],
    say: Callable[[str], None],
) -> Iterator[bytes]:
    import threading
    import time

    from boxship.cli.bases import debian as plan

    with tempfile.TemporaryDirectory(prefix="boxship-base-") as files:
        os.chmod(files, 0o755)
        _put(files, "etc/apt/apt.conf.d/90container", plan.APT_SETTINGS, 0o644)
        _put(files, "usr/sbin/policy-rc.d", plan.NO_SERVICES, 0o755)
        command = plan.build_command(suite, sources, packages, proxies, files)
        # Two builds of one day have the same times; the programs' own output language is ours.
        today = str(int(time.time()) // DAY * DAY)
        environment = {
            **os.environ,
            "SOURCE_DATE_EPOCH": today,
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        assert process.stdin and process.stdout and process.stderr
        lines: list[str] = []
        reader = threading.Thread(target=_report, args=(process.stderr, lines, say), daemon=True)
        reader.start()
        try:
            process.stdin.write(plan.render_sources(sources).encode())
            process.stdin.close()
            while chunk := process.stdout.read(CHUNK):
                yield chunk
        except BaseException:
            process.terminate()
            raise
        finally:
            status = process.wait()
            reader.join()
        if status:
            raise Failure(
                f"cannot make debian:{suite}: mmdebstrap ended with {status}\n" + "\n".join(lines[-LAST_LINES:])
            )


def _report(stream: Iterable[bytes], lines: list[str], say: Callable[[str], None]) -> None:
    """Keep a program's lines, and show its milestones."""
    for raw in stream:
        line = raw.decode("utf-8", "replace").rstrip()
        lines.append(line)
        del lines[:-LAST_LINES]
        if line.startswith(MILESTONES):
            say(f"debian: {line[3:].removesuffix('...')}")


def _import(call: Call, chunks: Iterable[bytes], reference: str, changes: Iterable[str], message: str) -> str:
    from boxship.cli.escape import escape

    name, _, tag = reference.rpartition(":")
    query = [("fromSrc", "-"), ("repo", name), ("tag", tag), ("message", message)]
    query += [("changes", change) for change in changes]
    path = "/images/create?" + "&".join(f"{key}={escape(value)}" for key, value in query)
    response = call.daemon.request("POST", path, stream=chunks)
    identity = ""
    for line in response.lines():
        news = json.loads(line)
        if "error" in news:
            raise Failure(f"cannot import {reference}: {news['error']}")
        identity = news.get("status") or identity
    if not identity:
        raise Failure(f"cannot import {reference}: the daemon's answer ended early")
    return str(identity)


def _write(output: str, chunks: Iterable[bytes]) -> None:
    if output == "-":
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    partial = f"{output}.part"
    try:
        with open(partial, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
        os.replace(partial, output)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _put(root: str, path: str, text: str, mode: int) -> None:
    target = Path(root, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    for folder in [target.parent, *target.parent.parents]:
        if folder == Path(root):
            break
        folder.chmod(0o755)
    target.write_text(text)
    target.chmod(mode)


def _find(program: str, package: str) -> str:
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    if not found:
        raise Failure(f"cannot make a base image: {program} is missing (apt-get install {package})")
    return found


def _machine_suite() -> str:
    """The code name of this machine's Debian release, "" elsewhere."""
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return ""
    values = {line.partition("=")[0]: line.partition("=")[2].strip('"') for line in lines}
    return values.get("VERSION_CODENAME", "") if values.get("ID") == "debian" else ""


def _machine_sources() -> list[tuple[str, str, tuple[str, ...]]]:
    from boxship.cli.bases.debian import parse_lines, parse_stanzas

    found: list[tuple[str, str, tuple[str, ...]]] = []
    folder = Path("/etc/apt/sources.list.d")
    for path in [Path("/etc/apt/sources.list"), *(sorted(folder.iterdir()) if folder.is_dir() else [])]:
        if path.suffix in (".list", ".sources") and path.is_file():
            text = path.read_text(errors="replace")
            found += parse_lines(text) if path.suffix == ".list" else parse_stanzas(text)
    return found
