"""The image of a finished build: its config, its history, its times. Pure and deterministic: times come from when
layers were first made, or from SOURCE_DATE_EPOCH, so that an unchanged build gives the same image again."""

from collections.abc import Mapping, Sequence

import msgspec

from boxship.builder import history
from boxship.builder.graph import Graph, Step
from boxship.builder.model import BuildRequest
from boxship.builder.operations import LayerTree
from boxship.builder.workshop import Result
from boxship.images.documents import timestamp
from boxship.images.model import Layer
from boxship.spec.image import ExecutionConfig, History, ImageConfig, RootFs

SECOND = 1_000_000_000  # nanoseconds


class Composed(msgspec.Struct, frozen=True):
    """An image that is to be."""

    config: ImageConfig
    layers: tuple[Layer, ...]
    parent: str = ""


def compose(
    graph: Graph,
    results: Mapping[str, Result],
    request: BuildRequest,
    inline: dict[str, object] | None = None,
) -> Composed:
    """The image of the target's state; `inline` is the cache that it carries."""
    lineage = graph.lineage()
    final = lineage[-1]
    tree = results[final.id].tree
    assert isinstance(tree, LayerTree)
    base = results[lineage[0].id].image
    epoch = None if request.epoch is None else request.epoch * SECOND
    entries = _entries([step for step in lineage if step.history], results, epoch)
    before = (base.config.history or ()) if base is not None else ()
    dated = _dated(before, entries)
    created = dated[-1].created if dated else ""
    if epoch is not None and entries:
        created = timestamp(epoch)
    platform = graph.platform
    config = ImageConfig(
        architecture=base.config.architecture if base else platform.architecture,
        os=base.config.os if base else platform.os,
        variant=base.config.variant if base else platform.variant,
        rootfs=RootFs(tuple(layer.diff_id for layer in tree.layers)),
        config=_labelled(final.config, request.labels),
        created=created or (base.config.created if base else timestamp(epoch or 0)),
        author=final.author,
        history=dated,
        build_cache=inline,
    )
    return Composed(config, tree.layers, base.id if base is not None else "")


def _labelled(config: ExecutionConfig, labels: Mapping[str, str]) -> ExecutionConfig:
    if not labels:
        return config
    return msgspec.structs.replace(config, Labels={**(config.Labels or {}), **labels})


def _entries(steps: Sequence[Step], results: Mapping[str, Result], epoch: int | None) -> list[History]:
    """The lines of the new steps; only those that made a layer have a time yet, or all where one is given."""
    entries = []
    for step in steps:
        result = results[step.id]
        time = epoch if epoch is not None else result.created if result.layer is not None else None
        entries.append(
            History(
                created="" if time is None else timestamp(time),
                created_by=step.history,
                author=step.author,
                comment=history.COMMENT,
                empty_layer=result.layer is None,
            )
        )
    return entries


def _dated(before: Sequence[History], entries: Sequence[History]) -> tuple[History, ...]:
    """Steps without files get the time of the layer before them; those before the first new layer get its time."""
    first = next((entry.created for entry in entries if entry.created), "")
    time = first or (before[-1].created if before else "")
    dated = []
    for entry in entries:
        time = entry.created or time
        dated.append(entry if entry.created else msgspec.structs.replace(entry, created=time))
    return (*before, *dated)
