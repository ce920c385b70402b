"""Help pages, made from the flag tables and the list of verbs."""

from collections.abc import Sequence

from boxship.cli.flags import Command, Flag
from boxship.cli.verbs import GROUPS, VERBS

INDENT = "  "


def flag_lines(flags: Sequence[Flag]) -> list[str]:
    """One line per flag, sorted by name, with the help texts in one column."""
    shown = sorted((flag for flag in flags if flag.help), key=lambda flag: flag.name)
    heads = [
        f"{f'-{flag.short}, ' if flag.short else '    '}--{flag.name}{f' {flag.kind}' if flag.kind else ''}"
        for flag in shown
    ]
    width = max((len(head) for head in heads), default=0) + 3
    return [f"{INDENT}{head:<{width}}{flag.help}{_default(flag)}" for head, flag in zip(heads, shown, strict=True)]


def _default(flag: Flag) -> str:
    if flag.kind == "list" or not flag.default:
        return ""
    if flag.kind == "":
        return " (default true)"
    return f' (default "{flag.default}")' if isinstance(flag.default, str) else f" (default {flag.default})"


def verb_page(name: str, line: tuple[str, ...], command: Command) -> str:
    """The help of one verb."""
    usage = " ".join(part for part in (f"boxship {name}", "[OPTIONS]" if command.flags else "", command.usage) if part)
    parts = [f"Usage:  {usage}", line[1]]
    if command.details:
        parts.append(command.details)
    if len(line) > 3:
        parts.append("Aliases:\n" + INDENT + ", ".join(f"boxship {alias}" for alias in line[2:]))
    if command.flags:
        parts.append("Options:\n" + "\n".join(flag_lines(command.flags)))
    return "\n\n".join(parts) + "\n"


def group_page(group: str, flags: Sequence[Flag] = ()) -> str:
    """The verbs of one group, and its own flags."""
    prefix = f"{group} "
    shown = {
        names[0].removeprefix(prefix): line[1]
        for line in VERBS
        if (names := [name for name in line[2:] if name.startswith(prefix)])
    }
    lines = [f"{INDENT}{verb:<11} {shown[verb]}" for verb in sorted(shown)]
    options = "[OPTIONS] " if flags else ""
    page = f"Usage:  boxship {group} {options}COMMAND\n\n{GROUPS[group]}\n\nCommands:\n" + "\n".join(lines) + "\n"
    return page + ("\nOptions:\n" + "\n".join(flag_lines(flags)) + "\n" if flags else "")


def program_page(flags: Sequence[Flag]) -> str:
    """The program's own help: groups, verbs, global flags."""
    plain = {name: line[1] for line in VERBS for name in line[2:3] if name[0] != "_" and " " not in name}
    sections = [
        "Usage:  boxship [OPTIONS] COMMAND",
        "A container platform: containers, images, networks and volumes",
        "Commands:\n" + "\n".join(f"{INDENT}{name:<11} {plain[name]}" for name in sorted(plain)),
        "Groups:\n" + "\n".join(f"{INDENT}{name:<11} {GROUPS[name]}" for name in sorted(GROUPS)),
        "Options:\n" + "\n".join(flag_lines(flags)),
        "Run 'boxship COMMAND --help' for more about a command.",
    ]
    return "\n\n".join(sections) + "\n"
