"""Tells in the status of a ValidatingAdmissionPolicy what its expressions do wrong with the types of the kinds named.

It follows the policies and writes once for each generation. It never refuses anything: warnings are all there is.
"""

import asyncio
import logging
from collections.abc import Iterator

from boxship.cluster.access import Client
from boxship.cluster.api.admission.policies.checking import type_warnings
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.schema.types import Type
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

POLICIES = "admissionregistration.k8s.io/v1/validatingadmissionpolicies"
PAUSE = 1.0  # seconds before the policies are listed again


class PolicyStatus:
    """Follows the policies through the API."""

    def __init__(self, client: Client, catalog: Catalog) -> None:
        self._client = client
        self._catalog = catalog

    async def follow(self) -> None:
        """Without end."""
        while True:
            try:
                listing = await self._client.list(POLICIES)
                for policy in listing.items:
                    await self._look(policy)
                async for event in self._client.watch(POLICIES, version=listing.version):
                    if event.type in ("ADDED", "MODIFIED"):
                        await self._look(event.object)
            except BoxshipError as error:
                log.debug("policies are listed again: %s", error)
            await asyncio.sleep(PAUSE)

    async def _look(self, policy: Object) -> None:
        generation = policy["metadata"].get("generation") or 0
        status = policy.get("status") or {}
        if status.get("observedGeneration") == generation:
            return
        warnings = await asyncio.to_thread(type_warnings, policy, self._served)
        checking = {"expressionWarnings": warnings} if warnings else {}
        new = {**policy, "status": {**status, "observedGeneration": generation, "typeChecking": checking}}
        try:
            await self._client.update(POLICIES, new, subresource="status")
        except Failure as failure:
            if failure.reason not in ("NotFound", "Conflict"):  # a conflict: its next event is on its way
                raise

    def _served(self) -> Iterator[tuple[Resource, Type]]:
        for resource in self._catalog.all():
            yield resource, self._catalog.definition(resource).request_type
