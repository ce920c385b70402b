"""The daemon's options that are about its node in a cluster: texts to the agent's values. A daemon that is no node
never loads the agent for them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from boxship.cluster.node.eviction.collecting import Limits
from boxship.cluster.node.eviction.pressure import CONDITIONS, HELD_SECONDS, THRESHOLDS, Threshold
from boxship.cluster.node.pulled import LISTED, POLICIES, Verification, parse_listed
from boxship.cluster.objects import quantity
from boxship.errors import Invalid
from boxship.spec.duration import SECOND, parse_duration

if TYPE_CHECKING:
    from boxship.cluster.node.agent import Options

SWITCH = {"on": True, "off": False}
RESERVABLE = ("cpu", "memory", "ephemeral-storage")


class NodeOptions(msgspec.Struct, frozen=True):
    """`static_pods` "": DATA/static-pods. `reserved` is kept from pods, by resource."""

    static_pods: str = ""
    reserved: dict[str, str] = {}
    thresholds: tuple[Threshold, ...] = THRESHOLDS
    images: Limits = Limits()
    images_from_nodes: bool = True
    verification: Verification = Verification()
    held: float = HELD_SECONDS

    def agent(self, data: Path) -> "Options":
        from boxship.cluster.node.agent import Options

        return Options(
            static_folder=self.static_pods or str(data / "static-pods"),
            thresholds=self.thresholds,
            images=self.images,
            verification=self.verification,
            held=self.held,
        )


class NodeWords(Protocol):
    """The options of boxshipd that are about its node, as they were written."""

    @property
    def static_pods(self) -> str: ...
    @property
    def system_reserved(self) -> str: ...
    @property
    def eviction(self) -> tuple[str, ...]: ...
    @property
    def eviction_transition(self) -> str: ...
    @property
    def image_garbage(self) -> str: ...
    @property
    def images_from_nodes(self) -> str: ...
    @property
    def image_credentials(self) -> str: ...
    @property
    def preloaded_image(self) -> tuple[str, ...]: ...


def parse_node(words: NodeWords) -> NodeOptions:
    """Raises Invalid. `eviction` replaces the thresholds of the signals that it names."""
    static_pods = words.static_pods
    if static_pods and not Path(static_pods).is_absolute():
        raise Invalid(f"cannot use static-pods {static_pods}: it must be an absolute path")
    given = tuple(parse_threshold(text) for text in words.eviction)
    named = {threshold.signal for threshold in given}
    kept = tuple(threshold for threshold in THRESHOLDS if threshold.signal not in named)
    if words.images_from_nodes not in SWITCH:
        raise Invalid(f"cannot use images-from-nodes {words.images_from_nodes}: it is on or off")
    return NodeOptions(
        static_pods,
        parse_reserved(words.system_reserved),
        (*kept, *given),
        parse_garbage(words.image_garbage),
        SWITCH[words.images_from_nodes],
        parse_verification(words.image_credentials, words.preloaded_image),
        _seconds("eviction-transition", words.eviction_transition),
    )


def parse_verification(policy: str, preloaded: Sequence[str]) -> Verification:
    if policy not in POLICIES:
        raise Invalid(f"cannot use image-credentials {policy}: it is one of {', '.join(POLICIES)}")
    if preloaded and policy != LISTED:
        raise Invalid(f"cannot use preloaded-image: it is for image-credentials {LISTED}")
    return Verification(policy, tuple(parse_listed(name) for name in preloaded))


def parse_garbage(text: str) -> Limits:
    """Of "85%,80%,10Gi,2m": from which share on images go, until which one, how many free bytes keep them, and how long
    they must have been unused."""
    parts = text.split(",")
    try:
        high, low = (float(part.removesuffix("%")) for part in parts[:2])
        free = quantity.parse(parts[2]).value if len(parts) > 2 else Limits().free
        age = parse_duration(parts[3]) / SECOND if len(parts) > 3 else Limits().age
    except (Invalid, ValueError) as error:
        raise Invalid(f"cannot use image-garbage {text}: write HIGH%,LOW%[,FREE[,AGE]], as 85%,80%,10Gi,2m") from error
    if len(parts) > 4 or not 0 <= low < high <= 100 or free < 0 or age < 0:
        raise Invalid(f"cannot use image-garbage {text}: LOW lies below HIGH, both between 0% and 100%")
    return Limits(high, low, free, age)


def _seconds(name: str, text: str) -> float:
    try:
        found = parse_duration(text) / SECOND
    except Invalid as error:
        raise Invalid(f"cannot use {name} {text}: {error}") from error
    if found < 0:
        raise Invalid(f"cannot use {name} {text}: it lies in the past")
    return found


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
