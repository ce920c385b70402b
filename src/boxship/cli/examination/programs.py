"""Questions to the programs: what the engine starts, and what is good to have beside it."""

import re

from boxship.cli.examination.machine import GOOD, MISSING, WARNING, Finding, Machine


def version_in(output: str) -> str:
    """The first thing that looks like a version, "" without one."""
    found = re.search(r"\d+\.\d+[\w.+~-]*", output)
    return found.group() if found else ""


def _program(machine: Machine, name: str, *options: str) -> str:
    """ "NAME VERSION (PATH)", "" where it is not installed or does not run."""
    path = machine.find(name)
    status, output = machine.run([name, *options]) if path else (-1, "")
    return f"{name} {version_in(output)} ({path})" if status == 0 else ""


def runtimes(machine: Machine) -> list[Finding]:
    found = []
    for name, state, why in (("crun", MISSING, "the default runtime"), ("runc", WARNING, "for --runtime runc")):
        text = _program(machine, name, "--version")
        if text:
            found.append(Finding("runtime", GOOD, text))
        else:
            found.append(Finding("runtime", state, f"no {name} ({why})", f"apt-get install {name}"))
    return found


def monitor(machine: Machine) -> list[Finding]:
    text = _program(machine, "conmon", "--version")
    if text:
        return [Finding("monitor", GOOD, text)]
    return [Finding("monitor", MISSING, "no conmon (holds output and exit codes)", "apt-get install conmon")]


def nftables_library(machine: Machine) -> list[Finding]:
    _, output = machine.run(["ldconfig", "-p"])
    found = re.search(r"(libnftables\.so\.1)\b.*=> (\S+)", output)
    if found:
        return [Finding("libnftables", GOOD, found.group(2))]
    return [Finding("libnftables", MISSING, "no libnftables.so.1 (ports and NAT)", "apt-get install libnftables1")]


def init(machine: Machine) -> list[Finding]:
    for name in ("tini-static", "catatonit", "docker-init"):
        path = machine.find(name)
        if path:
            return [Finding("init", GOOD, path)]
    return [Finding("init", WARNING, "no init program: --init is refused", "apt-get install tini")]


def base_makers(machine: Machine) -> list[Finding]:
    found = []
    for name, package, verb in (
        ("busybox", "busybox-static", "boxship base busybox"),
        ("mmdebstrap", "mmdebstrap", "boxship base debian"),
    ):
        path = machine.find(name)
        if path:
            found.append(Finding("base images", GOOD, path))
        else:
            found.append(
                Finding("base images", WARNING, f"no {name}: {verb} cannot work", f"apt-get install {package}")
            )
    return found


def docker_client(machine: Machine) -> list[Finding]:
    text = _program(machine, "docker", "--version")
    if text:
        return [Finding("docker client", GOOD, text)]
    return [Finding("docker client", WARNING, "none (boxship has its own)", "make test puts one into build/")]


def repositories(machine: Machine) -> list[Finding]:
    text = _program(machine, "git", "--version")
    if text:
        return [Finding("repositories", GOOD, text)]
    why = "no git: builds cannot fetch repositories"
    return [Finding("repositories", WARNING, why, "apt-get install git")]
