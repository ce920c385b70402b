"""The grammar of repository names, tags and digests (distribution specification 1.1, "Pulling manifests")."""

import re

from boxship.errors import Invalid
from boxship.registry.refusals import DigestInvalid, NameInvalid, TagInvalid
from boxship.spec import digest as digests

NAME_LIMIT = 255  # characters

_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
KEPT = ("sha256", "sha512")


def check_name(name: str) -> str:
    """The repository's name itself. Raises NameInvalid."""
    if len(name) > NAME_LIMIT or not _NAME.fullmatch(name):
        raise NameInvalid(
            f"cannot use repository {name[: NAME_LIMIT + 1]}: a name has at most {NAME_LIMIT} characters: lower"
            " case, digits and single separators"
        )
    return name


def check_tag(tag: str) -> str:
    """The tag itself. Raises TagInvalid."""
    if not _TAG.fullmatch(tag):
        raise TagInvalid(f"cannot use tag {tag[:129]}: it has 1 to 128 letters, digits, dots, dashes and underscores")
    return tag


def check_digest(text: str) -> str:
    """The digest itself. Raises DigestInvalid where it is none, or of a kind that is not kept."""
    try:
        digests.validate(text)
    except Invalid as error:
        raise DigestInvalid(f"cannot use digest {text[:200]}: {error}") from None
    if text.partition(":")[0] not in KEPT:
        raise DigestInvalid(f"cannot use digest {text}: only {' and '.join(KEPT)} digests are kept")
    return text


def is_digest(reference: str) -> bool:
    """Whether a reference means a digest; a tag has no colon."""
    return ":" in reference
