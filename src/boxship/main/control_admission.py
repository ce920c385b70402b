"""Puts the chain of admission together: the plugins that the cluster has, webhooks, policies, quotas."""

from collections.abc import Sequence

from boxship.cluster.access import Writer
from boxship.cluster.api.admission import Lookup, Plugin
from boxship.cluster.api.admission.chain import AdmissionChain, make
from boxship.cluster.api.admission.policies.authorizer import Decide
from boxship.cluster.api.admission.policies.checking import PolicyExpressions
from boxship.cluster.api.admission.policies.conditions import MatchConditions
from boxship.cluster.api.admission.policies.mutating import MutatingAdmissionPolicy
from boxship.cluster.api.admission.policies.requests import Requests
from boxship.cluster.api.admission.policies.validating import ValidatingAdmissionPolicy
from boxship.cluster.api.admission.webhooks.plugins import (
    MutatingAdmissionWebhook,
    Parts,
    ValidatingAdmissionWebhook,
)
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.objects import Object
from boxship.cluster.objects.patch import json_patch
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.schema.types import Type
from boxship.transport.client import HttpClient


def admission(
    lookup: Lookup,
    catalog: Catalog,
    writer: Writer,
    client: HttpClient,
    decide: Decide,
    mutating: Sequence[Plugin] = (),
    validating: Sequence[Plugin] = (),
    chosen: Sequence[str] = (),
) -> AdmissionChain:
    """The chain of one API server, with the plugins that were `chosen`. `writer` must not pass it itself: it writes the
    usage of quotas. Policies stand before the webhooks of their kind."""

    async def convert(made: Object, resource: Resource) -> Object:
        now = catalog.of_kind(made["apiVersion"], made["kind"])
        how = catalog.definition(now).convert if now is not None else None
        if how is None:
            return {**made, "apiVersion": resource.api_version}
        return (await how([made], resource.api_version))[0]

    def finish(made: Object, resource: Resource) -> Object:
        definition = catalog.definition(resource)
        if definition.working == resource.api_version:
            definition.rules.default(made)
        return made

    def patch(made: Object, operations: Sequence[object]) -> Object:
        return json_patch(made, list(operations))

    def type_of(resource: Resource) -> Type | None:
        return catalog.definition(resource).request_type

    parts = Parts(lookup, client, catalog.versions_of, convert, MatchConditions(decide), patch, finish)
    others, kind_of, requests = catalog.versions_of, catalog.of_kind, Requests(convert)
    changing = MutatingAdmissionPolicy(lookup, others, kind_of, requests, decide, type_of, finish)
    judging = ValidatingAdmissionPolicy(lookup, others, kind_of, requests, decide)
    namespaces = catalog.at("v1/namespaces")
    assert namespaces is not None
    return AdmissionChain(
        make(
            lookup,
            writer,
            namespaces,
            (*mutating, changing, MutatingAdmissionWebhook(parts)),
            (*validating, PolicyExpressions(), judging, ValidatingAdmissionWebhook(parts)),
            chosen,
        )
    )
