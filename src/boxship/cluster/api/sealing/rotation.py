"""After a change of keys: what is sealed by an older one, or not at all, is sealed by the first.

One object at a time, and only if nobody has written it meanwhile; a write seals it anew anyhow. So it can be broken off
and repeated at will, and once it has run the older key can be taken out of the configuration.
"""

import contextlib
from collections.abc import Iterable

from boxship.cluster.api.sealing.sealer import ConfiguredSealer
from boxship.cluster.api.storage import prefix_of
from boxship.cluster.objects.resource import Resource
from boxship.errors import Conflict
from boxship.store import Put, Store

AT_ONCE = 500  # entries looked at


async def reseal(store: Store, sealer: ConfiguredSealer, resources: Iterable[Resource]) -> int:
    """Seal again what is stale among the stored objects of the resources; how many there were."""
    count = 0
    named = [resource for resource in resources if resource.stored and sealer.names(resource.qualified)]
    for resource in {resource.storage: resource for resource in named}.values():
        after, prefix = "", prefix_of(resource)
        while True:
            entries = (await store.list(prefix, after=after, limit=AT_ONCE)).entries
            if not entries:
                break
            after = entries[-1].key
            for entry in entries:
                if not sealer.is_stale(resource.qualified, entry.value):
                    continue
                sealed = sealer.seal(entry.key, resource.qualified, sealer.open(entry.key, entry.value))
                with contextlib.suppress(Conflict):  # somebody wrote it: it is sealed by the new key
                    await store.commit(Put(entry.key, sealed, entry.modified))
                    count += 1
    return count
