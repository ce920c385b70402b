"""Image references: `domain:port/path:tag@digest`, with Docker's grammar, its short forms and its error texts.

"busybox" means docker.io/library/busybox, with the tag latest where neither tag nor digest is given; the familiar form
is the way back. A name can hold a registry's address, so a first part with a dot, a colon, or `localhost` is a domain.
"""

import re

import msgspec

from boxship.errors import Invalid
from boxship.spec import digest as digests

DEFAULT_DOMAIN = "docker.io"
OFFICIAL = "library/"
DEFAULT_TAG = "latest"
NAME_LIMIT = 255  # characters of the path
WRONG = "invalid reference format"

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?P<domain>{_DOMAIN})/(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?"
)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_TAG_ALONE = re.compile(_TAG)


class Reference(msgspec.Struct, frozen=True):
    """A normalised reference; `tag` and `digest` are "" where not given."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """The repository: domain and path."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as people write it: the shortest form that is read back as the same."""
        if self.domain == DEFAULT_DOMAIN:
            for short in (self.path.removeprefix(OFFICIAL), self.path):
                if _split_domain(short) == (self.domain, self.path) and not _IDENTIFIER.fullmatch(short):
                    return short
        return self.name

    @property
    def familiar(self) -> str:
        """The whole reference as people write it."""
        return self.familiar_name + self._suffix()

    @property
    def is_name_only(self) -> bool:
        return not self.tag and not self.digest

    def with_default_tag(self) -> "Reference":
        """The same, with the tag latest where neither tag nor digest is given."""
        return msgspec.structs.replace(self, tag=DEFAULT_TAG) if self.is_name_only else self

    def __str__(self) -> str:
        return self.name + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """The normalised reference. Raises Invalid with Docker's texts."""
    if _IDENTIFIER.fullmatch(text):
        raise Invalid(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    domain, remainder = _split_domain(text)
    repository = remainder.partition(":")[0].partition("@")[0]
    if repository.lower() != repository:
        raise Invalid(f"{WRONG}: repository name ({repository}) must be lowercase")
    match = _REFERENCE.fullmatch(f"{domain}/{remainder}")
    if match is None or not remainder:
        raise Invalid(WRONG)
    if len(match["path"]) > NAME_LIMIT:
        raise Invalid(f"repository name must not be more than {NAME_LIMIT} characters")
    if match["digest"]:
        digests.validate(match["digest"])
    return Reference(match["domain"], match["path"], match["tag"] or "", match["digest"] or "")


def parse_tag(repository: str, tag: str) -> Reference:
    """The reference of a repository and a tag given apart, as the Docker API gives them; an empty tag means latest."""
    reference = parse(repository)
    if not tag:
        return reference.with_default_tag()
    if not _TAG_ALONE.fullmatch(tag):
        raise Invalid("invalid tag format")
    return msgspec.structs.replace(reference, tag=tag)


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    is_domain = "." in first or ":" in first or first == "localhost" or first.lower() != first
    if not slash or not is_domain:
        domain, remainder = DEFAULT_DOMAIN, text
    else:
        domain, remainder = first, rest
    if domain == f"index.{DEFAULT_DOMAIN}":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and remainder and "/" not in remainder:
        remainder = OFFICIAL + remainder
    return domain, remainder
