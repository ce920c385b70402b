"""Several API servers over one store: each says that it is there, and those that stopped saying so are taken out of the
`kubernetes` Service.

A server's word is a Lease in kube-system, as in the original; its holder is the server's address. One server over a
store of its own has nobody to tell, and does not run this: it would only write.
"""

import asyncio
import hashlib
import logging
from datetime import datetime, timedelta

from boxship.cluster.access import Client
from boxship.cluster.api.bootstrap.objects import Site
from boxship.cluster.api.bootstrap.start import set_addresses
from boxship.cluster.api.clock import Clock
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.times import moment, stamp_micro
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

LEASES = "coordination.k8s.io/v1/leases"
NAMESPACE = "kube-system"
LABEL = "apiserver.kubernetes.io/identity"
KIND = "kube-apiserver"
PAUSE = 10.0  # seconds between two words
LIFE = 30  # seconds that a word is good for


async def attend(client: Client, site: Site, clock: Clock) -> None:
    """Without end. A store that does not answer is asked again."""
    while True:
        try:
            await say(client, site, clock.now())
            await settle(client, site, clock.now())
        except BoxshipError as error:
            log.warning("cannot say that this API server is there: %s", error)
        await asyncio.sleep(PAUSE)


async def say(client: Client, site: Site, now: datetime) -> None:
    """This server is there."""
    spec = {"holderIdentity": site.address, "leaseDurationSeconds": LIFE, "renewTime": stamp_micro(now)}
    name = name_of(site)
    try:
        await client.patch(LEASES, NAMESPACE, name, {"spec": spec})
    except Failure as failure:
        if failure.reason != "NotFound":
            raise
        metadata = {"name": name, "namespace": NAMESPACE, "labels": {LABEL: KIND}}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        await client.create(LEASES, NAMESPACE, lease)


async def settle(client: Client, site: Site, now: datetime) -> None:
    """The Service leads to those that are there; the words of others go."""
    leases = (await client.list(LEASES, NAMESPACE, labels=f"{LABEL}={KIND}")).items
    addresses = {str(lease["spec"].get("holderIdentity")) for lease in leases if is_there(lease, now)}
    await set_addresses(client, site, sorted(addresses | {site.address}))
    for lease in leases:
        if not is_there(lease, now):
            try:
                metadata = lease["metadata"]
                await client.delete(LEASES, NAMESPACE, metadata["name"], version=metadata["resourceVersion"])
            except Failure as failure:
                if failure.reason not in ("NotFound", "Conflict"):
                    raise


async def leave(client: Client, site: Site) -> None:
    """This server ends."""
    try:
        await client.delete(LEASES, NAMESPACE, name_of(site))
    except Failure as failure:
        if failure.reason != "NotFound":
            raise


def is_there(lease: Object, now: datetime) -> bool:
    spec = lease.get("spec") or {}
    try:
        end = moment(spec.get("renewTime") or "") + timedelta(seconds=int(spec.get("leaseDurationSeconds") or 0))
    except ValueError:
        return False
    return end > now


def name_of(site: Site) -> str:
    place = f"{site.address}:{site.port}"
    return f"apiserver-{hashlib.sha256(place.encode()).hexdigest()[:26]}"
