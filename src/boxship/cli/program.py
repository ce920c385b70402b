"""From argv to one verb and an exit code: global flags, the search for the verb, errors to stderr.

It imports the verb that was named and no other. Exit codes are Docker's: 125 for a wrong flag or a refusal of `run`,
1 for other failures, 126/127 from `run`, and what the container or exec returned.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

from boxship.cli.call import Call
from boxship.cli.flags import Flag, Options, UsageError, check_count, parse
from boxship.cli.verbs import GROUP_FLAGS, GROUPS, VERBS
from boxship.errors import BoxshipError

GLOBAL_FLAGS = (
    Flag("-H, --host string", "Daemon socket to connect to (unix:///PATH or tcp://HOST:PORT)"),
    Flag("-D, --debug", "Show where an error comes from"),
    Flag("--tls", "Use TLS; implied by --tlsverify"),
    Flag("--tlscacert string", "Trust certificates signed only by this authority", completes="files"),
    Flag("--tlscert string", "Path to the client's certificate", completes="files"),
    Flag("--tlskey string", "Path to the client's key", completes="files"),
    Flag("--tlsverify", "Use TLS and verify the daemon"),
    Flag("-v, --version", "Print the version and quit"),
    Flag("-h, --help", "Print this help and quit"),
)
HELP = Flag("--help", "Print usage")
EXIT_INTERRUPTED = 130


def find_verb(name: str) -> tuple[str, ...] | None:
    """The line of VERBS that has the name ("ps", "container ls")."""
    return next((line for line in VERBS if name in line[2:]), None)


def run(words: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run one command line and return its exit code. Nothing escapes but SystemExit."""
    environment = os.environ if environment is None else environment
    name = ""
    debug = False
    try:
        try:
            shared, rest = parse(GLOBAL_FLAGS, words, interspersed=False)
            debug = shared.on("debug")
            if shared.on("version"):
                rest = ["version", "--short"]
            group, rest = _group_options(rest)
            name, line, rest = _find(rest)
            if not line or (shared.on("help") and not rest):
                return _print_help(name, line)
            return _call(name, line, rest, shared, environment, group)
        finally:
            sys.stdout.flush()
    except UsageError as error:
        hint = f"\nSee '{f'boxship {name}'.rstrip()} --help'."
        sys.stderr.write(f"boxship: {error}{hint}\n")
        return error.exit_code
    except BoxshipError as error:
        if debug:
            raise
        if str(error):
            from boxship.cli.text import visible

            sys.stderr.write(f"boxship: {visible(str(error))}\n")  # a daemon's text may hold what a stranger wrote
        return int(getattr(error, "exit_code", 1))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`boxship ps | head -1`): not an error, and nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if debug:
            raise
        sys.stderr.write(f"boxship: {_describe(error)}\n")
        return 1


def _describe(error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    return f"{error.filename}: {reason}" if error.filename else reason


def flags_of_group(group: str) -> tuple[Flag, ...]:
    """The flags between a group's name and its verb."""
    if group not in GROUP_FLAGS:
        return ()
    found = import_module(GROUP_FLAGS[group]).FLAGS
    assert isinstance(found, tuple)
    return found


def _group_options(words: list[str]) -> tuple[Options | None, list[str]]:
    """What stands between a group and its verb, and the words without it."""
    if not words or words[0] not in GROUP_FLAGS:
        return None, words
    options, rest = parse((*flags_of_group(words[0]), HELP), words[1:], interspersed=False)
    if options.on("help"):
        rest = []
    elif options.on("version"):
        rest = ["version"]
    return options, [words[0], *rest]


def _find(words: list[str]) -> tuple[str, tuple[str, ...] | None, list[str]]:
    """The full name of the verb, its line, and the words after it; no line when only help can be shown."""
    if not words:
        return "", None, []
    if words[0] == "help":
        name = " ".join(words[1:3])
        return name, find_verb(name), ["--help"]
    first, rest = words[0], words[1:]
    if first in GROUPS:
        if not rest or rest[0] in ("--help", "-h"):
            return first, None, []
        name = f"{first} {rest[0]}"
        line = find_verb(name)
        if line is None:
            raise UsageError(f"unknown command: boxship {name}", 1)
        return name, line, rest[1:]
    line = find_verb(first)
    if line is None:
        raise UsageError(f"unknown command: boxship {first}", 1)
    return first, line, rest


def _print_help(name: str, line: tuple[str, ...] | None) -> int:
    from boxship.cli import help as pages

    if line:
        sys.stdout.write(pages.verb_page(name, line, import_module(f"boxship.cli.verbs.{line[0]}").COMMAND))
    elif name in GROUPS:
        sys.stdout.write(pages.group_page(name, flags_of_group(name)))
    elif name:
        raise UsageError(f"unknown command: boxship {name}", 1)
    else:
        sys.stdout.write(pages.program_page(GLOBAL_FLAGS))
    return 0


def _call(
    name: str,
    line: tuple[str, ...],
    words: list[str],
    shared: Options,
    environment: Mapping[str, str],
    group: Options | None,
) -> int:
    module = import_module(f"boxship.cli.verbs.{line[0]}")
    command = module.COMMAND
    options, arguments = parse((*command.flags, HELP), words, interspersed=command.interspersed)
    if options.on("help"):
        return _print_help(name, line)
    check_count(command, name, arguments)
    result = module.run(Call(name, options, arguments, shared, environment, group))
    assert isinstance(result, int)
    return result
