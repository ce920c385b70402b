"""Where autoscalers get metrics that other servers serve: through the aggregated APIs, as the autoscaler's account."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

import msgspec

from boxship.cluster.api.aggregation.forwarding import Forwarding
from boxship.cluster.api.aggregation.services import Services
from boxship.cluster.api.request import User
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure, of_status

NAMES = {"custom.metrics.k8s.io": "custom", "external.metrics.k8s.io": "external"}

_decode = msgspec.json.Decoder().decode


class OtherMetrics:
    """Implements controllers.autoscaling.measuring.Elsewhere."""

    def __init__(self, services: Services, forwarding: Forwarding, user: User) -> None:
        self._services = services
        self._forwarding = forwarding
        self._user = user

    async def ask(self, group: str, versions: Sequence[str], path: str, query: Mapping[str, str]) -> Object:
        found = next((one for one in (self._services.find(group, version) for version in versions) if one), None)
        if found is None:
            raise Failure(404, "NotFound", f"no {NAMES.get(group, group)} metrics API ({group}) registered")
        asked = f"?{urlencode(query)}" if query else ""
        target = f"/apis/{group}/{found.version}/{quote(path, safe='/*:')}{asked}"
        status, data = await self._forwarding.fetch(found, target, user=self._user)
        document = _read(data)
        if status >= 400:
            if document.get("kind") == "Status":
                raise of_status(document)
            raise Failure(status, "", data[:200].decode(errors="replace").strip() or f"the server answered {status}")
        return document


def _read(data: bytes) -> Object:
    try:
        document = _decode(data)
    except msgspec.DecodeError:
        return {}
    return document if isinstance(document, dict) else {}
