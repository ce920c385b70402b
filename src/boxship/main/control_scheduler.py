"""The scheduler of the control plane: it acts as system:kube-scheduler and may do no more than that user's role allows,
although it runs in the API's own process."""

import platform
from pathlib import Path

from boxship.cluster.api.authorization.authorizer import Authorizer
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.gate import Performs
from boxship.cluster.api.inside import Inside
from boxship.cluster.api.request import User
from boxship.cluster.scheduler.profiles import DEFAULT, Settings, read_settings
from boxship.cluster.scheduler.running import Scheduler
from boxship.errors import Invalid
from boxship.main.control_controllers import Guarded
from boxship.wire import yaml_text

SCHEDULER = User("system:kube-scheduler", ("system:authenticated",))
AGENT = "kube-scheduler"


def settings_of(config: str) -> Settings:
    """Of a KubeSchedulerConfiguration's file; "" for none. Raises Invalid, Unsupported."""
    if not config:
        return DEFAULT
    try:
        document, _ = yaml_text.read(Path(config).read_bytes())
    except OSError as error:
        raise Invalid(f"cannot use scheduler-config {config}: {error.strerror}") from error
    return read_settings(document)


def scheduler(api: Performs, catalog: Catalog, authorizer: Authorizer, settings: Settings) -> Scheduler:
    """Ready to run."""
    return Scheduler(Inside(Guarded(api, authorizer), catalog, SCHEDULER, AGENT), settings, instance=platform.node())
