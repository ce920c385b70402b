"""matchConditions: expressions that all must be true for a webhook or policy to be asked."""

import functools
from collections.abc import Mapping, Sequence

from boxship.cluster.api.admission import Attributes, Lookup
from boxship.cluster.api.admission.policies.authorizer import Decide
from boxship.cluster.api.admission.policies.variables import DECLARED, compiled, evaluated, frame_for
from boxship.cluster.objects import Object
from boxship.cluster.objects.cel import environment
from boxship.cluster.objects.cel.environment import Frame, Program
from boxship.cluster.objects.cel.kinds import BOOL
from boxship.cluster.objects.cel.values import Failed
from boxship.cluster.objects.failure import forbidden
from boxship.errors import Invalid

KEPT = 1000  # compiled expressions


class ConditionError(Exception):
    """No condition is false, and one cannot be evaluated."""


def hold(programs: Sequence[Program], frame: Frame) -> bool:
    """Whether all are true. A false one decides, whatever errors others have. Raises ConditionError."""
    wrong: list[str] = []
    for program in programs:
        try:
            if environment.run(program, frame) is not True:
                return False
        except Failed as failed:
            wrong.append(f"expression '{program.text}' resulted in error: {failed}")
    if wrong:
        raise ConditionError(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")
    return True


@functools.lru_cache(maxsize=KEPT)
def _webhook_condition(text: str) -> Program:
    declared = {name: kind for name, kind in DECLARED.items() if name != "namespaceObject"}
    return compiled(text, declared, (BOOL,))


def webhook_condition(text: str) -> Program:
    """A compiled match condition of a webhook. Raises Invalid."""
    return _webhook_condition(text)


class MatchConditions:
    """Implements what webhooks ask for: evaluates their conditions."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide

    async def __call__(self, wanted: Sequence[Mapping[str, str]], attributes: Attributes, request: Object) -> bool:
        """Raises Failure where no condition is false and one errs."""
        try:
            programs = [webhook_condition(str(condition.get("expression") or "")) for condition in wanted]
            return await evaluated(
                lambda budget: frame_for(attributes, request, None, self._decide, budget=budget),
                lambda frame: hold(programs, frame),
            )
        except (ConditionError, Invalid) as wrong:
            raise forbidden(attributes.request.resource, attributes.name, str(wrong)) from None


async def namespace_of(attributes: Attributes, lookup: Lookup) -> Object | None:
    """The object's namespace as expressions see it; None for what has none."""
    request = attributes.request
    if not request.namespace or request.resource.path == "v1/namespaces":
        return None
    return await lookup.get("v1/namespaces", "", request.namespace)
