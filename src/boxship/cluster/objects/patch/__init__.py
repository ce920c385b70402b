"""Patches: from an object and a patch to a new object, in the three forms that are not server-side apply.

Neither the object nor the patch is changed, and the result shares nothing with the object, so that who gets it may
change it in place. What is wrong with a patch is a Failure with the original's status and words.
"""

from boxship.cluster.objects.patch.merging import merge
from boxship.cluster.objects.patch.operations import json_patch
from boxship.cluster.objects.patch.strategic import strategic

__all__ = ["json_patch", "merge", "strategic"]
