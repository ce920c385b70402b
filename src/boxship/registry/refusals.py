"""Why the registry refuses, with the code that the distribution specification has for it.

Each is one of the known kinds of error; the door reads `code`, and tells nothing from the text.
"""

from boxship.errors import Conflict, Denied, Exhausted, Invalid, NotFound


class NameInvalid(Invalid):
    """A repository's name is not in the grammar."""

    code = "NAME_INVALID"


class TagInvalid(Invalid):
    """A tag is not in the grammar."""

    code = "TAG_INVALID"


class NameUnknown(NotFound):
    """There is no such repository."""

    code = "NAME_UNKNOWN"


class ManifestUnknown(NotFound):
    """The repository has no such manifest or tag."""

    code = "MANIFEST_UNKNOWN"


class BlobUnknown(NotFound):
    """The repository has no such blob."""

    code = "BLOB_UNKNOWN"


class UploadUnknown(NotFound):
    """There is no such upload, or no more."""

    code = "BLOB_UPLOAD_UNKNOWN"


class UploadInvalid(Invalid):
    """A request within an upload contradicts itself."""

    code = "BLOB_UPLOAD_INVALID"


class UploadBusy(Conflict):
    """Another request writes to the upload now."""

    code = "BLOB_UPLOAD_INVALID"


class OutOfOrder(Conflict):
    """A chunk does not begin where the last one ended. `size` is how many bytes are there."""

    code = "BLOB_UPLOAD_INVALID"

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size


class DigestInvalid(Invalid):
    """The content does not have the digest that was named, or that is no digest."""

    code = "DIGEST_INVALID"


class SizeInvalid(Invalid):
    """The content does not have the length that was named."""

    code = "SIZE_INVALID"


class ManifestInvalid(Invalid):
    """A manifest that no client could use."""

    code = "MANIFEST_INVALID"


class PartUnknown(Invalid):
    """A manifest names a blob or a manifest that the repository does not have."""

    code = "MANIFEST_BLOB_UNKNOWN"


class TagKept(Denied):
    """The tag must not change or go."""

    code = "DENIED"


class QuotaReached(Exhausted):
    """The repository may not grow."""

    code = "DENIED"


class InUse(Conflict):
    """What was to be deleted is named by something that stays."""

    code = "UNSUPPORTED"


class ReadOnly(Conflict):
    """The repository mirrors another registry, or belongs to the engine; nothing can be changed in it from here."""

    code = "UNSUPPORTED"
