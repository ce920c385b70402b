"""The option that says which ids of the machine stand for the users of pods that have their own."""

import logging
from pathlib import Path

from boxship.engine.pods_users import Pool, parse_pool, subordinate_pool
from boxship.errors import Invalid

log = logging.getLogger(__name__)

KUBELET = "kubelet"  # whose subordinate ids the original takes
FILES = (Path("/etc/subuid"), Path("/etc/subgid"))


def pool_of(text: str, files: tuple[Path, Path] = FILES) -> Pool:
    """Of "FIRST:NUMBER", or the subordinate ids of a user; "": those of `kubelet` where it has some that can be used,
    else a range that nobody else is given. Raises Invalid."""
    if ":" in text:
        return parse_pool(text)
    users, groups = (path.read_text(errors="replace") if path.exists() else "" for path in files)
    try:
        found = subordinate_pool(text or KUBELET, users, groups)
    except Invalid as error:
        if text:
            raise
        log.warning("%s; pods' users are others", error)
        return Pool()
    if found is None and text:
        raise Invalid(f"cannot use pod-users {text}: it has no ids in {files[0]} and {files[1]}")
    return found or Pool()
