"""Reads the options of a container's log driver: how large its files may grow, and what details its lines carry.

Pure. Drivers are "json-file", "local" and "none"; the names and texts are Docker's. An option that Boxship has no
effect for is refused by name, never accepted and ignored.
"""

import functools
import re
from collections.abc import Iterable, Mapping

import msgspec

from boxship.errors import Invalid, Unsupported

DEFAULT_DRIVER = "json-file"
UNLIMITED = 0

_SIZES = ("max-size", "max-file", "compress")
_DETAILS = ("labels", "labels-regex", "env", "env-regex", "tag")
_OPTIONS = {"json-file": (*_SIZES, *_DETAILS), "local": _SIZES, "none": ()}
_TAG_FIELD = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")
_MAXIMUM_FILES = 1000
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,9})?) ?([kmgtp]?)b?")
_UNITS = ("", "k", "m", "g", "t", "p")  # powers of 1000, as Docker counts the size of logs


class TagFacts(msgspec.Struct, frozen=True):
    """What a tag's fields are replaced by. Names are without "/", ids whole."""

    container_id: str = ""
    container_name: str = ""
    image_id: str = ""
    image_name: str = ""

    def field(self, name: str) -> str | None:
        """The text of `{{.name}}`; None for a field that Docker doesn't know either."""
        return {
            "ID": self.container_id[:12],
            "FullID": self.container_id,
            "Name": self.container_name,
            "ContainerID": self.container_id,
            "ContainerName": f"/{self.container_name}",
            "ImageID": self.image_id.removeprefix("sha256:")[:12],
            "ImageFullID": self.image_id,
            "ContainerImageID": self.image_id,
            "ImageName": self.image_name,
            "ContainerImageName": self.image_name,
            "DaemonName": "boxshipd",
        }.get(name)


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the options mean. `max_size` is bytes of each file, 0 for no limit."""

    driver: str = DEFAULT_DRIVER
    max_size: int = UNLIMITED
    max_file: int = 1  # files; the one being written counts
    compress: bool = False  # of files that are no longer written
    labels: tuple[str, ...] = ()
    labels_regex: str = ""
    env: tuple[str, ...] = ()
    env_regex: str = ""
    tag: str = ""

    @property
    def keeps(self) -> bool:
        """Whether the driver writes a log at all."""
        return self.driver != "none"

    def attributes(
        self, labels: Mapping[str, str], environment: Iterable[str], facts: TagFacts | None = None
    ) -> dict[str, str]:
        """The details of every line: chosen labels, chosen variables ("K=V"), and the tag."""
        variables = dict(entry.partition("=")[::2] for entry in environment)
        chosen = _chosen(labels, self.labels, self.labels_regex) | _chosen(variables, self.env, self.env_regex)
        if self.tag:
            known = facts or TagFacts()
            chosen["tag"] = _TAG_FIELD.sub(lambda match: known.field(match[1]) or "", self.tag)
        return chosen


def parse_options(driver: str, options: Mapping[str, str]) -> LogSettings:
    """The settings of a log driver ("" is the default one).

    Raises Invalid with Docker's texts for unknown drivers and options and for values that can't be, and Unsupported for
    the non-blocking mode.
    """
    return _parse(driver or DEFAULT_DRIVER, tuple(sorted(options.items())))


@functools.lru_cache(maxsize=1024)
def _parse(driver: str, pairs: tuple[tuple[str, str], ...]) -> LogSettings:
    options = dict(pairs)
    if driver not in _OPTIONS:
        raise Invalid(f"logger: no log driver named '{driver}' is registered")
    if driver == "none":
        if options:
            raise Invalid("invalid logging opts for driver none")
        return LogSettings(driver=driver)
    _check_mode(options)
    for name in options:
        if name not in _OPTIONS[driver] and name != "mode":
            raise Invalid(f"unknown log opt '{name}' for {driver} log driver")
    default_size, default_files = ("20m", 5) if driver == "local" else ("10m", 3)
    max_size = parse_size(options.get("max-size") or default_size)
    max_file = _count(options.get("max-file") or str(default_files))
    return LogSettings(
        driver=driver,
        max_size=max_size,
        max_file=max_file,
        compress=_compress(options, driver, max_size, max_file),
        labels=_names(options.get("labels", "")),
        labels_regex=_pattern("labels-regex", options),
        env=_names(options.get("env", "")),
        env_regex=_pattern("env-regex", options),
        tag=_tag(options.get("tag", "")),
    )


def _check_mode(options: Mapping[str, str]) -> None:
    mode = options.get("mode", "blocking")
    if mode == "non-blocking":
        raise Unsupported("unsupported: log opt 'mode' non-blocking")
    if mode not in ("", "blocking"):
        raise Invalid(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" in options:
        raise Invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'")


def parse_size(text: str) -> int:
    """Bytes of "10m" or "1.5GB", 0 (no limit) of "-1". Raises Invalid."""
    if text.strip() == "-1":
        return UNLIMITED
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None:
        raise Invalid(f"invalid size: '{text}'")
    size = int(float(match[1]) * 1000 ** _UNITS.index(match[2]))
    if size <= 0:
        raise Invalid("max-size must be a positive number")
    return size


def _count(text: str) -> int:
    digits = text.strip().removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise Invalid(f"invalid value for log opt 'max-file': '{text}' is no number of files")
    count = int(digits)
    if count < 1:
        raise Invalid("max-file cannot be less than 1")
    if count > _MAXIMUM_FILES:
        raise Invalid(f"max-file cannot be more than {_MAXIMUM_FILES}")
    return count


def _compress(options: Mapping[str, str], driver: str, max_size: int, max_file: int) -> bool:
    text = options.get("compress", "")
    possible = max_file > 1 and max_size != UNLIMITED
    if not text:
        return driver == "local" and possible
    # the words that Go's parser of booleans takes, for clients written against Docker
    if text not in ("1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False"):
        raise Invalid(f"invalid value for log opt 'compress': '{text}' is neither true nor false")
    wanted = text[0] in "1tT"
    if wanted and not possible:
        raise Invalid("compress cannot be true when max-file is less than 2 or max-size is not set")
    return wanted


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _pattern(name: str, options: Mapping[str, str]) -> str:
    text = options.get(name, "")
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise Invalid(f"invalid value for log opt '{name}': {error}") from error
    return text


def _tag(text: str) -> str:
    facts = TagFacts()
    for match in _TAG_FIELD.finditer(text):
        if facts.field(match[1]) is None:
            raise Invalid(f"invalid value for log opt 'tag': there is no field {match[1]}")
    if "{{" in _TAG_FIELD.sub("", text):
        raise Unsupported(f"unsupported: log opt 'tag' with anything but fields: {text}")
    return text


def _chosen(values: Mapping[str, str], names: tuple[str, ...], pattern: str) -> dict[str, str]:
    chosen = {name: values[name] for name in names if name in values}
    if pattern:
        compiled = re.compile(pattern)
        chosen |= {name: value for name, value in values.items() if compiled.search(name)}
    return chosen
