"""The scheduler of the control plane: it acts as system:kube-scheduler and may do no more than that user's role allows,
although it runs in the API's own process."""

import platform
from pathlib import Path

from boxship.cluster.api.authorization.authorizer import Authorizer
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.gate import Performs
from boxship.cluster.api.inside import Inside
from boxship.cluster.api.request import User
from boxship.cluster.scheduler.profiles import DEFAULT, read_settings
from boxship.cluster.scheduler.running import Scheduler
from boxship.errors import Invalid
from boxship.main.control_controllers import Guarded
from boxship.wire import yaml_text

SCHEDULER = User("system:kube-scheduler", ("system:authenticated",))
AGENT = "kube-scheduler"


def scheduler(api: Performs, catalog: Catalog, authorizer: Authorizer, config: str) -> Scheduler:
    """Ready to run. `config` is a KubeSchedulerConfiguration's path, or "". Raises Invalid, Unsupported."""
    settings = DEFAULT
    if config:
        try:
            document, _ = yaml_text.read(Path(config).read_bytes())
        except OSError as error:
            raise Invalid(f"cannot use scheduler-config {config}: {error.strerror}") from error
        settings = read_settings(document)
    return Scheduler(Inside(Guarded(api, authorizer), catalog, SCHEDULER, AGENT), settings, instance=platform.node())
