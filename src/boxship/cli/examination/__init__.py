"""What `boxship doctor` looks at: one function per question, each a reader of facts with one finding or more.

    machine.py    the facts: files, programs' output, disk space; a test gives its own
    kernel.py     namespaces, overlayfs, cgroups, seccomp, capabilities
    programs.py   the programs that the engine starts, and those that are good to have
    traffic.py    forwarding, nftables, other firewalls, name servers

`QUESTIONS` is the order in which they are asked. To add one, write a function and put it there.
"""

from boxship.cli.examination import kernel, programs, traffic
from boxship.cli.examination.machine import Finding, Machine, Question

QUESTIONS: tuple[Question, ...] = (
    kernel.rights,
    kernel.namespaces,
    kernel.cgroups,
    kernel.seccomp,
    kernel.overlay,
    kernel.space,
    programs.runtimes,
    programs.monitor,
    programs.nftables_library,
    programs.init,
    programs.base_makers,
    programs.docker_client,
    programs.repositories,
    traffic.interfaces,
    traffic.nat,
    traffic.forwarding,
    traffic.firewalls,
    traffic.name_servers,
)


def examine(machine: Machine) -> list[Finding]:
    """Every finding, in the order of the questions."""
    return [finding for question in QUESTIONS for finding in question(machine)]
