"""The words of table cells: ages, label selectors, lists that are cut short.

They are those of the original (its duration, labels and printers packages), because people and scripts read them.
Nothing here raises, whatever an object holds.
"""

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from boxship.cluster.objects import Object

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"
GO_ZERO = -62135596800.0  # the year 1, which Go writes for no time at all
OPERATORS = {"In": "in", "NotIn": "notin"}


def part(value: Any, *names: str) -> Mapping[str, Any]:
    """The object at a path below another one; empty where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def items(value: Any, *names: str) -> list[Any]:
    """The list at a path; empty where there is none."""
    holder = part(value, *names[:-1])
    found = holder.get(names[-1]) if names else value
    return found if isinstance(found, list) else []


def number(value: Any, *names: str) -> int:
    """The whole number at a path; 0 where there is none."""
    found = part(value, *names[:-1]).get(names[-1])
    return found if isinstance(found, int) else 0


def text(value: Any, *names: str) -> str:
    """The text at a path; "" where there is none."""
    found = part(value, *names[:-1]).get(names[-1])
    return found if isinstance(found, str) else "" if found is None else str(found)


def name_of(object: Object) -> str:
    return text(object, "metadata", "name")


def moment(stamp: Any) -> float | None:
    """Seconds since 1970 of an RFC 3339 time, or None where it is none, or Go's zero."""
    if not isinstance(stamp, str) or not stamp:
        return None
    try:
        then = datetime.datetime.fromisoformat(stamp).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return None if then <= GO_ZERO else then


def duration(seconds: float) -> str:
    """ "5s", "3m20s", "2d4h": as the original rounds an age."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return f"{minutes}m{whole % 60}s" if whole % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if hours < 17520:
        return f"{days}d"
    if hours < 70080:
        return f"{days // 365}y{days % 365}d" if days % 365 else f"{days // 365}y"
    return f"{days // 365}y"


def since(stamp: Any, now: float) -> str:
    """How long ago a time was."""
    then = moment(stamp)
    return UNKNOWN if then is None else duration(now - then)


def age(object: Object, now: float) -> str:
    return since(part(object, "metadata").get("creationTimestamp"), now)


def labels_text(labels: Any) -> str:
    """ "a=b,c=d" in order, or "<none>"."""
    if not isinstance(labels, Mapping) or not labels:
        return NONE
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _requirement(expression: Any) -> tuple[str, str]:
    key, operator = text(expression, "key"), text(expression, "operator")
    if operator == "Exists":
        return key, key
    if operator == "DoesNotExist":
        return key, f"!{key}"
    values = ",".join(sorted(str(value) for value in items(expression, "values")))
    return key, f"{key} {OPERATORS.get(operator, operator.lower())} ({values})"


def selector_string(selector: Any) -> str:
    """A LabelSelector object as a selector's text; "" where it selects everything or nothing."""
    terms = [(str(key), f"{key}={value}") for key, value in part(selector, "matchLabels").items()]
    terms += [_requirement(expression) for expression in items(selector, "matchExpressions")]
    return ",".join(shown for _, shown in sorted(terms, key=lambda term: term[0]))


def selector_text(selector: Any) -> str:
    """The same for a cell: "<none>" where there is nothing to show."""
    return selector_string(selector) or NONE


def containers_text(spec: Any) -> tuple[str, str]:
    """Names and images of a pod spec's containers."""
    containers = items(spec, "containers")
    names = ",".join(text(container, "name") for container in containers)
    return names, ",".join(text(container, "image") for container in containers)


def some_of(shown: Iterable[str], limit: int = 3, empty: str = UNSET) -> str:
    """The first few, and how many more there are."""
    everything = list(shown)
    joined = ",".join(everything[:limit])
    if len(everything) > limit:
        return f"{joined} + {len(everything) - limit} more..."
    return joined or empty


def yes(value: Any, default: bool = False) -> bool:
    """An optional boolean."""
    return value if isinstance(value, bool) else default


def condition(object: Object, kind: str) -> Mapping[str, Any]:
    """The status condition of a type; empty where there is none."""
    return next((found for found in items(object, "status", "conditions") if part(found).get("type") == kind), {})
