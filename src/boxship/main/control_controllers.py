"""The controllers of the control plane, each with a client of its own: it acts as its service account of kube-system,
and may do no more than that account's role allows, although it runs in the API's own process."""

import datetime
from collections.abc import Sequence

from boxship.cluster.api.authentication.tokens import TokenIssuer
from boxship.cluster.api.authorization.authorizer import Authorizer
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.gate import Performs, asked
from boxship.cluster.api.inside import Inside, Shared
from boxship.cluster.api.request import Reply, Request, User
from boxship.cluster.controllers.autoscaling.controller import Settings as ScalerSettings
from boxship.cluster.controllers.autoscaling.measuring import Elsewhere, Nowhere
from boxship.cluster.controllers.certificates import LIFE
from boxship.cluster.controllers.nodes.starting import NodeOptions
from boxship.cluster.controllers.services.balancing import Pool
from boxship.cluster.controllers.starting import Means, make_runner
from boxship.cluster.objects.resource import Resource
from boxship.cluster.reconcile.runner import Runner
from boxship.pki.cluster import ClusterAuthority

MANAGER = User("system:kube-controller-manager", ("system:authenticated",))
ACCOUNT = "system:serviceaccount:kube-system:{}"
GROUPS = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")
AGENT = "kube-controller-manager"
SCALER = "horizontal-pod-autoscaler"


class Guarded:
    """Implements gate.Performs: the API behind the authoriser."""

    def __init__(self, api: Performs, authorizer: Authorizer) -> None:
        self._api = api
        self._authorizer = authorizer

    async def perform(self, request: Request) -> Reply:
        await self._authorizer.check(asked(request, request.verb))
        return await self._api.perform(request)


class Served:
    """Implements access.Discovery."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def resources(self) -> Sequence[Resource]:
        return self._catalog.all()

    async def changed(self) -> None:
        await self._catalog.changed.wait()


def account_of(controller: str) -> User:
    """As whom a controller asks."""
    return User(ACCOUNT.format(controller), GROUPS)


def controllers(
    api: Performs,
    catalog: Catalog,
    authorizer: Authorizer,
    authority: ClusterAuthority,
    tokens: TokenIssuer,
    nodes: NodeOptions | None = None,
    pool: Pool | None = None,
    elsewhere: Elsewhere | None = None,
    scalers: ScalerSettings | None = None,
    signing: datetime.timedelta = LIFE,
    shared: Shared | None = None,
) -> Runner:
    """All of them, ready to run. `shared`: with the others in this process that follow much."""
    guarded = Guarded(api, authorizer)

    def client_of(name: str) -> Inside:
        return Inside(guarded, catalog, account_of(name), AGENT)

    own = Inside(guarded, catalog, MANAGER, AGENT, shared)
    return make_runner(
        Means(
            client_of,
            own,
            Served(catalog),
            authority.ca_pem,
            authority.signer,
            tokens.legacy_token,
            nodes or NodeOptions(),
            pool,
            elsewhere or Nowhere(),
            scalers or ScalerSettings(),
            signing,
        )
    )
