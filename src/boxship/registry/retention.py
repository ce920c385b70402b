"""Decides which tags of a repository are over by its rules. Pure."""

from boxship.registry.policy import Rules, matches
from boxship.registry.repository import Repository


def overdue(repository: Repository, rules: Rules, now: int) -> list[str]:
    """The tags that go: all but the newest `keep_tags`, and those older than `keep_for`; never a protected one, which
    does not count either. A tag is as old as its last push."""
    if rules.keep_tags is None and rules.keep_for is None:
        return []
    free = [tag for tag in repository.order if not matches(rules.protected, tag)]
    free.sort(key=lambda tag: repository.tags[tag].pushed_at, reverse=True)
    gone = set(free[rules.keep_tags :] if rules.keep_tags is not None else ())
    if rules.keep_for is not None:
        gone.update(tag for tag in free if repository.tags[tag].pushed_at < now - rules.keep_for)
    return sorted(gone)
