"""Who may do what in which repository. Pure.

Without users everybody may do everything that the policy does not forbid; with users, those who are known may, and
others may not. A rule of the policy about an action replaces this for its repositories.
"""

from collections.abc import Mapping

import msgspec

from boxship.registry.policy import ACTIONS, Policy


class Identity(msgspec.Struct, frozen=True):
    """Somebody as the door has recognised him. `grants` are what a token allows, by repository, `catalogue` whether it
    is for the list of repositories too; None: no token."""

    user: str = ""
    grants: Mapping[str, frozenset[str]] | None = None
    catalogue: bool = True


class Access:
    """The decisions of one registry. `closed`: there are users, so that nobody in particular may do nothing."""

    def __init__(self, policy: Policy, *, closed: bool) -> None:
        self._policy = policy
        self._closed = closed

    def allows(self, user: str, repository: str, action: str) -> bool:
        """Whether a user ("": nobody in particular) may pull, push or delete."""
        said = self._policy.of(repository).allows(user, action)
        return said if said is not None else bool(user) or not self._closed

    def may(self, identity: Identity, repository: str, action: str) -> bool:
        """The same for an identity: a token allows no more than what it says."""
        if identity.grants is not None and action not in identity.grants.get(repository, ()):
            return False
        return self.allows(identity.user, repository, action)

    def lists(self, identity: Identity, repository: str) -> bool:
        """Whether the catalogue shows a repository to him."""
        if identity.grants is not None and not identity.catalogue:
            return self.may(identity, repository, "pull")
        return self.allows(identity.user, repository, "pull")

    def is_closed_to(self, identity: Identity) -> bool:
        """Whether he has to say first who he is."""
        return self._closed and not identity.user

    def granted(self, user: str, repository: str, wanted: frozenset[str]) -> frozenset[str]:
        """Of the actions that a token is asked for, those that the user has."""
        asked = frozenset(ACTIONS) if "*" in wanted else wanted
        return frozenset(action for action in asked & frozenset(ACTIONS) if self.allows(user, repository, action))
