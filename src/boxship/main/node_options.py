"""The daemon's options that are about its node in a cluster: texts to the agent's values. A daemon that is no node
never loads the agent for them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from boxship.cluster.node.eviction.pressure import CONDITIONS, THRESHOLDS, Threshold
from boxship.cluster.objects import quantity
from boxship.errors import Invalid

if TYPE_CHECKING:
    from boxship.cluster.node.agent import Options

RESERVABLE = ("cpu", "memory", "ephemeral-storage")


class NodeOptions(msgspec.Struct, frozen=True):
    """`static_pods` "": DATA/static-pods. `reserved` is kept from pods, by resource."""

    static_pods: str = ""
    reserved: dict[str, str] = {}
    thresholds: tuple[Threshold, ...] = THRESHOLDS

    def agent(self, data: Path) -> "Options":
        from boxship.cluster.node.agent import Options

        return Options(static_folder=self.static_pods or str(data / "static-pods"), thresholds=self.thresholds)


def parse_node(static_pods: str, reserved: str, evictions: Sequence[str]) -> NodeOptions:
    """Raises Invalid. `evictions` replace the thresholds of the signals that they name."""
    if static_pods and not Path(static_pods).is_absolute():
        raise Invalid(f"cannot use static-pods {static_pods}: it must be an absolute path")
    given = tuple(parse_threshold(text) for text in evictions)
    named = {threshold.signal for threshold in given}
    kept = tuple(threshold for threshold in THRESHOLDS if threshold.signal not in named)
    return NodeOptions(static_pods, parse_reserved(reserved), (*kept, *given))


def parse_reserved(text: str) -> dict[str, str]:
    """Of "cpu=200m,memory=512Mi"."""
    found = {}
    for pair in filter(None, text.split(",")):
        name, _, amount = pair.partition("=")
        if name not in RESERVABLE:
            raise Invalid(
                f"cannot use system-reserved {pair}: write RESOURCE=AMOUNT with one of {', '.join(RESERVABLE)}"
            )
        try:
            found[name] = quantity.canonical(amount)
        except Invalid as error:
            raise Invalid(f"cannot use system-reserved {pair}: {error}") from error
    return found


def parse_threshold(text: str) -> Threshold:
    """Of "memory.available<300Mi", "nodefs.available<10%"; with ":90" it must be so for as many seconds, and then pods
    have up to 30 seconds to end."""
    signal, _, rest = text.partition("<")
    bound, _, grace = rest.partition(":")
    known = ", ".join(CONDITIONS)
    try:
        if signal not in CONDITIONS:
            raise Invalid(f"write SIGNAL<AMOUNT[:SECONDS] with one of {known}")
        seconds = float(grace or 0)
        pods = 30.0 if seconds else 0.0
        if bound.endswith("%"):
            return Threshold(signal, 0, float(bound[:-1]), seconds, pods)
        return Threshold(signal, quantity.parse(bound).value, 0.0, seconds, pods)
    except (Invalid, ValueError) as error:
        raise Invalid(f"cannot use eviction {text}: {error}") from error
