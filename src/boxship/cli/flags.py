"""Flags of a verb as data, and the parser of Docker's flag grammar.

One `Flag` line per flag is the only place where it is described: parsing, help, completion and the documentation are
all made from it. The grammar is Docker's (pflag's): `--name value`, `--name=value`, bundled shorts (`-it`, `-p80:80`),
`--` ends the flags, and a verb may say that its flags end at the first positional argument (`run`, `exec`).

It must stay free of slow imports: every start of the program pays for them.
"""

from collections.abc import Callable, Sequence

from boxship.errors import BoxshipError

USAGE_EXIT_CODE = 125

Value = bool | int | str | list[str]


class UsageError(BoxshipError):
    """The command line itself is wrong; the message names the flag or argument."""

    def __init__(self, message: str, exit_code: int = USAGE_EXIT_CODE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Flag:
    """One flag. `form` is as help shows it: "-a, --all" (a switch), "--filter list", "-n, --last int".

    The kind word says what the value is: none for a switch, `list` for a repeatable text, `int`, `bytes`
    (a size such as 512m), `duration` (1m30s); any other word is plain text. `completes` names what the shell offers.
    """

    __slots__ = ("completes", "default", "help", "kind", "name", "short")

    def __init__(self, form: str, help: str, default: Value | None = None, *, completes: str = "") -> None:
        short, _, rest = form.rpartition(", ")
        self.short = short[1:]
        name, _, self.kind = rest.partition(" ")
        self.name = name[2:]
        self.help = help
        self.default: Value = DEFAULTS.get(self.kind, "") if default is None else default
        self.completes = completes


DEFAULTS: dict[str, Value] = {"": False, "int": 0, "bytes": 0, "duration": 0}


class Command:
    """What a verb accepts. `usage` follows the flags in the help ("CONTAINER [CONTAINER...]"), `least` and `most` bound
    the number of positional arguments (`most=None`: any). `interspersed=False` ends the flags at the first positional.
    `completes` names what the positionals are, one word each; the last one repeats."""

    __slots__ = ("completes", "details", "flags", "interspersed", "least", "most", "usage")

    def __init__(
        self,
        usage: str = "",
        flags: Sequence[Flag] = (),
        *,
        least: int = 0,
        most: int | None = 0,
        interspersed: bool = True,
        completes: Sequence[str] = (),
        details: str = "",
    ) -> None:
        self.usage = usage
        self.flags = flags
        self.least = least
        self.most = most
        self.interspersed = interspersed
        self.completes = completes
        self.details = details


class Options:
    """The values of a verb's flags after parsing, by flag name. A getter per type keeps the verbs typed."""

    __slots__ = ("_given", "_values")

    def __init__(self, flags: Sequence[Flag]) -> None:
        self._values: dict[str, Value] = {flag.name: [] if flag.kind == "list" else flag.default for flag in flags}
        self._given: set[str] = set()

    def store(self, flag: Flag, value: Value) -> None:
        """Keep a parsed value; a list flag collects."""
        self._given.add(flag.name)
        if flag.kind == "list":
            values = self._values[flag.name]
            assert isinstance(values, list) and isinstance(value, str)
            values.append(value)
        else:
            self._values[flag.name] = value

    def has(self, name: str) -> bool:
        """Whether the verb knows the flag."""
        return name in self._values

    def given(self, name: str) -> bool:
        """Whether the flag was on the command line."""
        return name in self._given

    def on(self, name: str) -> bool:
        value = self._values[name]
        assert isinstance(value, bool), name
        return value

    def text(self, name: str) -> str:
        value = self._values[name]
        assert isinstance(value, str), name
        return value

    def texts(self, name: str) -> list[str]:
        value = self._values[name]
        assert isinstance(value, list), name
        return value

    def number(self, name: str) -> int:
        value = self._values[name]
        assert isinstance(value, int), name
        return value


def _parse_switch(text: str) -> bool:
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError("not true or false")


def _parse_integer(text: str) -> int:
    try:
        return int(text, 0) if text.isascii() and "_" not in text else int("x")
    except ValueError:
        if text.isascii() and text.isdigit():
            return int(text)  # leading zeros
        raise ValueError("not a whole number") from None


def _parse_bytes(text: str) -> int:
    from boxship.spec.quantity import parse_bytes

    return -1 if text == "-1" else parse_bytes(text)


def _parse_duration(text: str) -> int:
    from boxship.spec.duration import parse_duration

    return parse_duration(text)


PARSERS: dict[str, Callable[[str], Value]] = {
    "": _parse_switch,
    "int": _parse_integer,
    "bytes": _parse_bytes,
    "duration": _parse_duration,
}


def _keep(options: Options, flag: Flag, shown: str, text: str) -> None:
    parser = PARSERS.get(flag.kind)
    try:
        options.store(flag, parser(text) if parser else text)
    except (ValueError, BoxshipError) as error:
        raise UsageError(f'invalid argument "{text}" for "{shown}" flag: {error}') from None


def parse(flags: Sequence[Flag], words: Sequence[str], *, interspersed: bool = True) -> tuple[Options, list[str]]:
    """Split the words into flag values and positional arguments. Raises UsageError, which names the flag."""
    options = Options(flags)
    positionals: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--":
            return options, positionals + list(words[position:])
        if len(word) < 2 or word[0] != "-":
            positionals.append(word)
            if not interspersed:
                return options, positionals + list(words[position:])
        elif word[1] == "-":
            position = _parse_long(flags, words, position, options)
        else:
            position = _parse_shorts(flags, words, position, options)
    return options, positionals


def _parse_long(flags: Sequence[Flag], words: Sequence[str], position: int, options: Options) -> int:
    name, equals, text = words[position - 1][2:].partition("=")
    flag = next((flag for flag in flags if flag.name == name), None)
    if flag is None:
        raise UsageError(f"unknown flag: --{name}")
    if not equals:
        if flag.kind == "":
            text = "true"
        elif position >= len(words):
            raise UsageError(f"flag needs an argument: --{name}")
        else:
            text = words[position]
            position += 1
    _keep(options, flag, f"-{flag.short}, --{name}" if flag.short else f"--{name}", text)
    return position


def _parse_shorts(flags: Sequence[Flag], words: Sequence[str], position: int, options: Options) -> int:
    letters = words[position - 1][1:]
    while letters:
        letter, rest = letters[0], letters[1:]
        flag = next((flag for flag in flags if flag.short == letter), None)
        if flag is None:
            raise UsageError(f"unknown shorthand flag: '{letter}' in -{letters}")
        shown = f"-{letter}, --{flag.name}"
        if rest.startswith("="):
            _keep(options, flag, shown, rest[1:])
            return position
        if flag.kind == "":
            options.store(flag, True)
            letters = rest
            continue
        if not rest:
            if position >= len(words):
                raise UsageError(f"flag needs an argument: '{letter}' in -{letters}")
            rest = words[position]
            position += 1
        _keep(options, flag, shown, rest)
        return position
    return position


def check_count(command: Command, name: str, arguments: Sequence[str]) -> None:
    """Refuse a wrong number of positional arguments as Docker words it."""
    count = len(arguments)
    if command.least <= count and (command.most is None or count <= command.most):
        return
    if command.most == 0:
        wanted = "accepts no arguments"
    elif command.least == command.most:
        wanted = f"requires {command.least} argument{'' if command.least == 1 else 's'}"
    elif count < command.least:
        wanted = f"requires at least {command.least} argument{'' if command.least == 1 else 's'}"
    else:
        wanted = f"requires at most {command.most} argument{'' if command.most == 1 else 's'}"
    raise UsageError(f"'boxship {name}' {wanted}", 1)
