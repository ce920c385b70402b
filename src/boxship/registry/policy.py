"""What is allowed and kept in which repository: the policy file, read and asked. Pure.

A policy is a list of rules, each for the repositories that its patterns match. For each setting the first rule that
matches and says something about it counts. In a pattern `*` matches within one part of a name, `**` any parts.
"""

import functools
import re
import tomllib
from typing import Annotated, Any

import msgspec

from boxship.errors import BoxshipError, Invalid
from boxship.registry.names import NAME_LIMIT
from boxship.spec.duration import parse_duration
from boxship.spec.quantity import parse_bytes

ANONYMOUS = "anonymous"
EVERYBODY = "*"
ACTIONS = ("pull", "push", "delete")

Names = Annotated[tuple[str, ...], msgspec.Meta(max_length=1000)]


class RuleTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """One [[repository]] of the file, as it is written."""

    match: Names
    pull: Names | None = None
    push: Names | None = None
    delete: Names | None = None
    immutable: Names | None = None
    protected: Names | None = None
    quota: str | None = None
    keep_tags: Annotated[int, msgspec.Meta(ge=1)] | None = None
    keep_for: str | None = None
    keep_lapsed: str | None = None


class CacheTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """One [[cache]] of the file."""

    prefix: str
    upstream: str
    refresh: str = "1h"
    username: str = ""
    password_file: str = ""


class PolicyTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The whole file."""

    repository: tuple[RuleTable, ...] = ()
    cache: tuple[CacheTable, ...] = ()


class Cache(msgspec.Struct, frozen=True):
    """Repositories below `prefix` come from another registry, whose address is `upstream`. Times in nanoseconds."""

    prefix: str
    upstream: str
    refresh: int
    username: str = ""
    password_file: str = ""


class Rules(msgspec.Struct, frozen=True):
    """What counts for one repository. None: not said. Sizes in bytes, times in nanoseconds."""

    pull: tuple[str, ...] | None = None
    push: tuple[str, ...] | None = None
    delete: tuple[str, ...] | None = None
    immutable: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    quota: int | None = None
    keep_tags: int | None = None
    keep_for: int | None = None
    keep_lapsed: int | None = None

    def allows(self, user: str, action: str) -> bool | None:
        """Whether the rules let a user ("": nobody in particular) do it; None where they say nothing."""
        names: tuple[str, ...] | None = getattr(self, action)
        if names is None:
            return None
        if not user:
            return ANONYMOUS in names
        return EVERYBODY in names or user in names or ANONYMOUS in names


NOTHING = Rules(pull=(), push=(), delete=())


class Policy:
    """Asked by repository; answers are remembered."""

    def __init__(self, table: PolicyTable | None = None) -> None:
        table = table or PolicyTable()
        self._rules = [
            (tuple(_compiled(word, _NAME) for word in rule.match), _read_rule(rule)) for rule in table.repository
        ]
        self.caches = tuple(_read_cache(cache) for cache in table.cache)
        self._known = functools.lru_cache(maxsize=4096)(self._of)

    def of(self, repository: str) -> Rules:
        """The rules of one repository. What is too long for a name is what strangers send: it is neither kept nor
        compared, and nobody may do anything with it."""
        return self._known(repository) if len(repository) <= NAME_LIMIT else NOTHING

    def _of(self, repository: str) -> Rules:
        found: dict[str, Any] = {}
        for patterns, said in self._rules:
            if any(pattern.fullmatch(repository) for pattern in patterns):
                found = {**said, **found}
        return Rules(**found)

    def cache_of(self, repository: str) -> Cache | None:
        """The cache that a repository belongs to: that with the longest prefix."""
        fitting = [cache for cache in self.caches if repository.startswith(cache.prefix)]
        return max(fitting, key=lambda cache: len(cache.prefix), default=None)


def read_policy(text: str, where: str) -> Policy:
    """The policy in a TOML text. Raises Invalid naming `where` and what is wrong."""
    try:
        return Policy(msgspec.convert(tomllib.loads(text), PolicyTable))
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, BoxshipError) as error:
        raise Invalid(f"cannot use {where}: {error}") from None


_NAME = "[^/]"
_TAG = "."


def matches(patterns: tuple[str, ...], tag: str) -> bool:
    """Whether one of the patterns matches a tag."""
    return any(_compiled(pattern, _TAG).fullmatch(tag) for pattern in patterns)


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str, single: str) -> re.Pattern[str]:
    """A pattern with `*` and `**`."""
    words = re.split(r"(\*\*|\*)", pattern)
    return re.compile("".join({"**": ".*", "*": f"{single}*"}.get(word) or re.escape(word) for word in words))


def _read_rule(rule: RuleTable) -> dict[str, Any]:
    if not rule.match:
        raise Invalid("a repository's rule needs at least one pattern in match")
    said: dict[str, Any] = {
        name: getattr(rule, name)
        for name in (*ACTIONS, "immutable", "protected", "keep_tags")
        if getattr(rule, name) is not None
    }
    if rule.quota is not None:
        said["quota"] = parse_bytes(rule.quota)
    for name in ("keep_for", "keep_lapsed"):
        text = getattr(rule, name)
        if text is not None:
            said[name] = parse_duration(text)
    return said


def _read_cache(cache: CacheTable) -> Cache:
    prefix = cache.prefix.strip("/") + "/"
    if prefix == "/":
        raise Invalid("a cache needs a prefix, the first part of its repositories' names")
    return Cache(prefix, cache.upstream, parse_duration(cache.refresh), cache.username, cache.password_file)
