"""Tables: objects as the rows and columns that `kubectl get` shows, made by the server.

One View per kind, with the original's columns; kinds without one get name and time of creation, custom resources the
columns of their definition. The functions are pure, never change an object and never raise, whatever it holds.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.tables import access, core, groups, pods, usage, workloads
from boxship.cluster.objects.tables.columns import NAME, Column, View
from boxship.cluster.objects.tables.printed import printed_view
from boxship.cluster.objects.tables.text import moment, name_of, part

VIEWS: Mapping[tuple[str, str], View] = {
    **core.VIEWS,
    **pods.VIEWS,
    **workloads.VIEWS,
    **groups.VIEWS,
    **access.VIEWS,
    **usage.VIEWS,
}


def _created(object: Object, _: float) -> list[Any]:
    stamp = moment(part(object, "metadata").get("creationTimestamp"))
    if stamp is None:
        return [name_of(object), None]
    shown = datetime.datetime.fromtimestamp(stamp, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [name_of(object), shown]


PLAIN = View((NAME, Column("Created At", "date", "When the object was created.")), _created)


def view_of(group: str, kind: str) -> View:
    """How a built-in kind is listed."""
    return VIEWS.get((group, kind), PLAIN)


def is_sorted(resource: Resource) -> bool:
    """Whether a listing's rows are sorted, so that it has to be made in one piece."""
    return not resource.custom and view_of(resource.group, resource.kind).order is not None


def table_of(
    resource: Resource,
    objects: Iterable[Object],
    now: float,
    columns: Sequence[Mapping[str, Any]] | None = None,
    *,
    kind: str = "",
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The columnDefinitions and the rows of a table at a time (seconds since 1970). `columns` are a custom resource's
    additionalPrinterColumns (None or empty: its age); `kind` is that of a subresource (Scale).

    A row has `cells`, perhaps `conditions`, and `object`: the very object that was given, which the caller replaces by
    what the client asked for. Rows are in the order of the objects, but for kinds that the original sorts.
    """
    if kind == "Scale":
        view = VIEWS["autoscaling", "Scale"]
    elif resource.custom:
        view = printed_view(columns or ())
    else:
        view = view_of(resource.group, resource.kind)
    if view.order is not None:
        objects = sorted(objects, key=view.order)
    rows = []
    for object in objects:
        row: dict[str, Any] = {"cells": view.cells(object, now), "object": object}
        if view.conditions is not None and (conditions := view.conditions(object)):
            row["conditions"] = [dict(condition) for condition in conditions]
        rows.append(row)
    return [column.definition() for column in view.columns], rows
