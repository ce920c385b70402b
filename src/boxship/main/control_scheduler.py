"""The scheduler of the control plane: it acts as system:kube-scheduler and may do no more than that user's role allows,
although it runs in the API's own process."""

import platform

from boxship.cluster.api.authorization.authorizer import Authorizer
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.gate import Performs
from boxship.cluster.api.inside import Inside
from boxship.cluster.api.request import User
from boxship.cluster.scheduler.running import Scheduler
from boxship.main.control_controllers import Guarded

SCHEDULER = User("system:kube-scheduler", ("system:authenticated",))
AGENT = "kube-scheduler"


def scheduler(api: Performs, catalog: Catalog, authorizer: Authorizer) -> Scheduler:
    """Ready to run."""
    return Scheduler(Inside(Guarded(api, authorizer), catalog, SCHEDULER, AGENT), instance=platform.node())
