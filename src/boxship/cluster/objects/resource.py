"""What the API serves: one Resource for each group, version and plural name, built in or made by a
CustomResourceDefinition. The table of the built-in ones is `catalog`."""

from collections.abc import Mapping

import msgspec

READ_VERBS = ("get", "list", "watch")
WRITE_VERBS = ("create", "update", "patch", "delete", "deletecollection")


class Subresource(msgspec.Struct, frozen=True):
    """A part of an object with a path of its own. The kind is what is sent and answered there ("Scale" of
    autoscaling/v1); empty group, version and kind: the object's own."""

    verbs: tuple[str, ...]
    kind: str = ""
    group: str = ""
    version: str = ""


class Resource(msgspec.Struct, frozen=True):
    """One resource in one served version.

    `storage` is the key of its objects below "/registry/" ("pods", "services/specs", "example.com/widgets"), the same
    for every version and, for Event, for both groups; `storage_version` is "GROUP/VERSION" (core: "v1") in which they
    are kept. A resource that is not `stored` (reviews) only answers creates.
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    storage: str
    storage_version: str
    verbs: tuple[str, ...] = (*READ_VERBS, *WRITE_VERBS)
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: Mapping[str, Subresource] = {}
    stored: bool = True
    custom: bool = False
    warning: str = ""  # said to everybody who asks for this version

    @property
    def api_version(self) -> str:
        """As `apiVersion` says it: "v1", "apps/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As messages and Status details name it: "pods", "deployments.apps"."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def path(self) -> str:
        """As the Protocols of `access` name it: "v1/pods", "apps/v1/deployments"."""
        return f"{self.api_version}/{self.plural}"
