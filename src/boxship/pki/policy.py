"""Which images may be used: a policy of rules by repository, and the decision over an image's signatures. Pure, but for
reading the files of keys that a policy names.

    default = "reject"                 # for what no rule names; "accept" where it is left out

    [keys]
    release = "release.pub"            # beside the policy's file, or an absolute path

    [[rule]]
    repository = "registry.example.org/prod/**"
    action = "require"                 # or "accept", "reject"
    keys = ["release"]
    count = "any"                      # "any", "all" or a number of different keys
    identity = "repository"            # the name it was signed under must be this repository's; "any" takes each
    annotations = { stage = "prod" }   # that the signature must carry

`*` stands for any part of one path component, `**` for any number of components. The rule with the most letters beside
its wildcards wins, then the one with fewer wildcards, then the first. What is broken refuses what it governs: a key's
file its rules, the policy itself everything.
"""

import re
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from boxship.errors import BoxshipError, Invalid
from boxship.pki import cosign, keys
from boxship.pki.files import read_file
from boxship.pki.payloads import SIGNATURES_LIMIT, Signature, read_payload
from boxship.spec import reference as references

POLICY_BYTES = 1 << 20


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule. `count` is "any", "all" or how many different keys must have signed."""

    repository: str
    action: Literal["accept", "reject", "require"]
    name: str = ""
    keys: tuple[str, ...] = ()
    count: Literal["any", "all"] | int = "any"
    identity: Literal["repository", "any"] = "repository"
    annotations: dict[str, str] = {}

    @property
    def title(self) -> str:
        return f"{self.name} ({self.repository})" if self.name else self.repository

    @property
    def needed(self) -> int:
        """How many of its keys must have signed."""
        if isinstance(self.count, int):
            return self.count
        return 1 if self.count == "any" else len(self.keys)


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    default: Literal["accept", "reject"] = "accept"
    keys: dict[str, str] = {}
    rule: tuple[Rule, ...] = ()


class Policy(msgspec.Struct, frozen=True):
    """A policy that was read. `keys` has a public key by name, or the reason why it cannot be used."""

    name: str
    default: Literal["accept", "reject"]
    rules: tuple[Rule, ...]
    keys: Mapping[str, keys.PublicKey | str]
    files: tuple[Path, ...] = ()  # of its keys: where one changes, the policy must be read again

    def rule_for(self, repository: str) -> Rule:
        """The rule that governs a repository by its normalised name; one for the default where none matches, or where
        there is no name."""
        matching = [rule for rule in self.rules if _expression(rule.repository).fullmatch(repository)]
        return max(matching, key=_weight) if matching else Rule("**", self.default, "default")


class Decision(msgspec.Struct, frozen=True):
    """What a policy says of an image, and the reasons, one line each."""

    accepted: bool
    rule: Rule
    reasons: tuple[str, ...]

    @property
    def text(self) -> str:
        return "; ".join(self.reasons)


def parse(data: bytes, path: Path, read: Callable[[Path], bytes] = read_file) -> Policy:
    """The policy in a TOML text. `path` is where it lies: its keys' files are beside it. Raises Invalid."""
    try:
        if len(data) > POLICY_BYTES:
            raise Invalid(f"it has more than {POLICY_BYTES} bytes")
        document = msgspec.convert(tomllib.loads(data.decode()), _Document)
        for rule in document.rule:
            _check_rule(rule, document.keys)
        patterns = [_normal(rule.repository) for rule in document.rule]
        double = next((pattern for pattern in patterns if patterns.count(pattern) > 1), None)
        if double is not None:
            raise Invalid(f"two rules are for {double}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, Invalid, RecursionError) as error:
        raise Invalid(f"cannot read the policy {path}: {error}") from error
    files = {name: path.parent / place for name, place in document.keys.items()}
    return Policy(
        name=str(path),
        default=document.default,
        rules=document.rule,
        keys={name: _read_key(file, read) for name, file in files.items()},
        files=tuple(files.values()),
    )


def decide(
    policy: Policy, rule: Rule, repository: str, accepted: Collection[str], signatures: Sequence[Signature]
) -> Decision:
    """Whether a rule lets an image in: its normalised repository, the digests that stand for it (of its manifest, or of
    an index that names that), and all its signatures."""
    if rule.action != "require":
        return Decision(rule.action == "accept", rule, (f"the rule says {rule.action}",))
    usable: dict[str, keys.PublicKey] = {}
    for name in rule.keys:
        key = policy.keys[name]
        if isinstance(key, str):
            return Decision(False, rule, (f"its key {name} cannot be used: {key}",))
        usable[name] = key
    reasons = [f"signed by {rule.needed} of {', '.join(rule.keys)} is required"]
    signed: set[str] = set()
    faults: dict[str, str] = {}
    for entry in signatures[:SIGNATURES_LIMIT]:
        for name, key in usable.items():
            if name not in signed and cosign.is_signed(key, entry.payload, entry.signature):
                fault = _fault(rule, repository, accepted, entry.payload)
                if fault:
                    faults[name] = fault
                else:
                    signed.add(name)
    for name, key in usable.items():
        if name in signed:
            reasons.append(f"signed by {name} ({cosign.fingerprint(key)})")
        else:
            reasons.append(faults.get(name) or f"no signature by {name} ({cosign.fingerprint(key)})")
    return Decision(len(signed) >= rule.needed, rule, tuple(reasons))


def _fault(rule: Rule, repository: str, accepted: Collection[str], payload: bytes) -> str:
    """Why a payload with a good signature does not count; "" where it does."""
    try:
        said = read_payload(payload)
    except BoxshipError as error:
        return str(error)
    if said.digest not in accepted:
        return f"a signature is for another image, {said.digest}"
    if rule.identity == "repository" and _repository_of(said.reference) != repository:
        return f"it was signed as {said.reference or 'no name'}, not as {repository}"
    for name, value in rule.annotations.items():
        if said.annotations.get(name) != value:
            return f"a signature lacks the annotation {name}={value}"
    return ""


def _repository_of(text: str) -> str:
    try:
        return references.parse(text).name
    except BoxshipError:
        return ""


def _check_rule(rule: Rule, known: Mapping[str, str]) -> None:
    """Raises Invalid for a rule that contradicts itself: what does nothing would be taken for a protection."""
    _expression(rule.repository)
    title = f"the rule for {rule.repository}"
    if rule.action != "require":
        if rule.keys or rule.count != "any" or rule.annotations or rule.identity != "repository":
            raise Invalid(f"{title} says {rule.action}, so it cannot have keys, count, identity or annotations")
        return
    if not rule.keys:
        raise Invalid(f"{title} requires signatures, but names no keys")
    unknown = next((name for name in rule.keys if name not in known), None)
    if unknown is not None:
        raise Invalid(f"{title} names the key {unknown}, which is not in [keys]")
    places = [known[name] for name in rule.keys]
    if len(set(places)) != len(places):
        raise Invalid(f"{title} names a key twice")
    if not 1 <= rule.needed <= len(rule.keys):
        raise Invalid(f"{title} requires {rule.needed} of {len(rule.keys)} keys")


def _read_key(path: Path, read: Callable[[Path], bytes]) -> keys.PublicKey | str:
    try:
        return keys.load_public(read(path), str(path))
    except BoxshipError as error:
        return str(error)


def _normal(pattern: str) -> str:
    """A pattern with its domain, as people may leave it out: busybox means docker.io/library/busybox."""
    first, slash, _ = pattern.partition("/")
    if "*" in first or (slash and ("." in first or ":" in first or first == "localhost")):
        return pattern
    if first == references.DEFAULT_DOMAIN and slash:
        return pattern
    return f"{references.DEFAULT_DOMAIN}/{'' if slash else references.OFFICIAL}{pattern}"


def _expression(pattern: str) -> re.Pattern[str]:
    """What a pattern matches. Raises Invalid for one that could not match any name."""
    if not re.fullmatch(r"[A-Za-z0-9._:\[\]*-]+(/[a-z0-9._*-]+)*", pattern) or (":" in pattern and "/" not in pattern):
        raise Invalid(f"{pattern!r} is no pattern of repositories")
    parts = _normal(pattern).split("/")
    if any("**" in part and part != "**" for part in parts):
        raise Invalid(f"{pattern!r} is no pattern of repositories: ** stands for whole components")
    text = ""
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        if part == "**":
            text += r".+" if last else r"(?:[^/]+/)*"
        else:
            text += re.escape(part).replace(r"\*", "[^/]*") + ("" if last else "/")
    return re.compile(text)


def _weight(rule: Rule) -> tuple[int, int]:
    pattern = _normal(rule.repository)
    stars = pattern.count("*")
    return len(pattern) - stars, -stars
