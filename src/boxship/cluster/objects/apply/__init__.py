"""Server-side apply: who owns which field, and how what somebody applies is merged into what is there.

`apply` merges a configuration, refuses what others own, and takes away what its manager no longer applies.
`update_managed` notes in `metadata.managedFields` what any other write has changed. Sets of fields are kept as they
are on the wire (`fields`), so that nothing is parsed that is not looked at. Source: kubernetes.io, "Server-Side
Apply"; sigs.k8s.io/structured-merge-diff. Nothing here changes what it is given, but for `update_managed`, which
writes the new object's managedFields.
"""

from boxship.cluster.objects.apply.applying import apply, check_applied
from boxship.cluster.objects.apply.owning import ignored_fields, update_managed

__all__ = ["apply", "check_applied", "ignored_fields", "update_managed"]
