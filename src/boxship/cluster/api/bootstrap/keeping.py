"""Makes again, as soon as somebody takes it away, what a cluster cannot do without while it runs: `kubectl delete all
--all` takes the `kubernetes` Service too, and every pod would look for the API in vain. The rest of what a cluster
begins with comes back at the next start.

Each object is watched by its name alone, so this costs nothing while nobody touches them. It only ever adds: what
people change in a Service stays, but for the addresses where the API is, which only the API knows.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from boxship.cluster.access import Client, Watcher
from boxship.cluster.api.bootstrap import joining, objects
from boxship.cluster.api.bootstrap.objects import Site
from boxship.cluster.api.bootstrap.start import SLICES, leave, set_addresses, settle_one
from boxship.cluster.objects import Object
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

AGAIN_SECONDS = 10.0
LEASES_PLACE = "kube-node-lease"  # the API refuses to delete the other namespaces


async def keep(client: Client, watcher: Watcher, site: Site, *, alone: bool) -> None:
    """Without end. `client` acts for the API server itself, `watcher` is told of what everybody does. `alone`: no other
    server shares the store, so the API is at this one's address and nowhere else; of several, `presence` tells."""

    def after(resource: str, namespace: str, name: str, settle: Callable[[], Awaitable[None]]) -> None:
        tasks.create_task(_after(client, watcher, resource, namespace, name, settle))

    def there(resource: str, wanted: Object) -> Callable[[], Awaitable[None]]:
        return lambda: settle_one(client, resource, wanted, leave)

    namespace = next(one for one in objects.namespaces() if one["metadata"]["name"] == LEASES_PLACE)
    async with asyncio.TaskGroup() as tasks:
        after("v1/namespaces", "", LEASES_PLACE, there("v1/namespaces", namespace))
        for service in (objects.service(site), *joining.dns_service(site)):
            metadata = service["metadata"]
            after("v1/services", metadata["namespace"], metadata["name"], there("v1/services", service))
        for resource in (SLICES, "v1/endpoints") if alone else ():
            after(resource, "default", objects.SERVICE, lambda: set_addresses(client, site, [site.address]))


async def _after(
    client: Client,
    watcher: Watcher,
    resource: str,
    namespace: str,
    name: str,
    settle: Callable[[], Awaitable[None]],
) -> None:
    """Settles it once, and whenever somebody has written to it."""
    fields = f"metadata.name={name}"
    while True:
        try:
            version = (await client.list(resource, namespace, fields=fields)).version
            await settle()
            async for _ in watcher.watch(resource, namespace, version=version, fields=fields):
                await settle()
        except BoxshipError as error:
            log.warning("cannot look after %s %s: %s", resource, name, error)
            await asyncio.sleep(AGAIN_SECONDS)
