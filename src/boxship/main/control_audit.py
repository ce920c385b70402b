"""The audit of a control plane, where its options ask for one."""

from pathlib import Path
from typing import Any

from boxship.cluster.api.audit.auditor import Auditor
from boxship.cluster.api.audit.events import read_json
from boxship.cluster.api.audit.journal import Journal
from boxship.cluster.api.audit.policy import policy_of
from boxship.cluster.api.clock import Clock
from boxship.cluster.api.request import Body
from boxship.cluster.objects import protobuf
from boxship.cluster.objects.schema.builtin import Schemas
from boxship.errors import BoxshipError, Invalid
from boxship.main.control_options import ControlOptions
from boxship.wire import yaml_text


def auditor(options: ControlOptions, clock: Clock, schemas: Schemas) -> Auditor | None:
    """None: nothing is written down. Raises Invalid for a wrong policy."""
    if not options.audit_policy:
        return None
    try:
        data = Path(options.audit_policy).read_bytes()
    except OSError as error:
        raise Invalid(f"cannot read the audit policy {options.audit_policy}: {error.strerror}") from error
    document, _ = yaml_text.read(data)

    def read(body: Body) -> Any:
        try:
            if "protobuf" in body.media_type:
                return protobuf.read(body.data, schemas)
            if "yaml" in body.media_type:
                return yaml_text.read(body.data)[0]
        except BoxshipError as error:
            return {"note": f"left out: {error}"}
        return read_json(body)

    return Auditor(policy_of(document), Journal(Path(options.audit_log)), clock, read)
