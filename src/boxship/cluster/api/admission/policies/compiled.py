"""A policy with all its expressions compiled. They are compiled when a write first meets the policy, and kept until it
changes."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from boxship.cluster.api.admission.policies.variables import DECLARED, JSON_PATCH, compiled
from boxship.cluster.objects import Object
from boxship.cluster.objects.cel.environment import Program
from boxship.cluster.objects.cel.kinds import BOOL, DYN, NULL, STRING, Kind, list_of
from boxship.errors import Invalid

Report = Callable[[str, str, str], None]  # (field, expression, what is wrong)


class Validation(msgspec.Struct, frozen=True):
    program: Program
    message: str = ""
    said: Program | None = None  # messageExpression
    reason: str = ""


class Mutation(msgspec.Struct, frozen=True):
    program: Program
    is_patch: bool  # JSONPatch, else ApplyConfiguration


class Policy(msgspec.Struct, frozen=True):
    """`wrong`: the first expression that does not compile; such a policy cannot judge."""

    name: str
    object: Object
    conditions: tuple[Program, ...] = ()
    variables: Mapping[str, Program] = {}
    validations: tuple[Validation, ...] = ()
    audits: tuple[tuple[str, Program], ...] = ()
    mutations: tuple[Mutation, ...] = ()
    wrong: str = ""

    @property
    def spec(self) -> Object:
        found: Object = self.object.get("spec") or {}
        return found

    @property
    def ignores(self) -> bool:
        return bool(self.spec.get("failurePolicy", "Fail") == "Ignore")

    @property
    def reinvoked(self) -> bool:
        return bool(self.spec.get("reinvocationPolicy", "Never") == "IfNeeded")


class _Compiler:
    """Goes through a policy; errors are reported, not raised, so that all of them are told at once."""

    def __init__(self, spec: Object, report: Report, declared: Mapping[str, Kind] = DECLARED) -> None:
        self.spec = spec
        self.report = report
        self.declared = dict(declared)
        if spec.get("paramKind"):
            self.declared.setdefault("params", DYN)

    def one(self, field: str, text: Any, gives: tuple[Kind, ...], *, mutates: bool = False) -> Program | None:
        try:
            return compiled(str(text or ""), self.declared, gives, mutates=mutates)
        except Invalid as wrong:
            self.report(field, str(text or ""), str(wrong))
            return None

    def conditions(self) -> tuple[Program, ...]:
        """They see no variables."""
        listed = self.spec.get("matchConditions") or ()
        found = (
            self.one(f"spec.matchConditions[{index}].expression", each.get("expression"), (BOOL,))
            for index, each in enumerate(listed)
        )
        return tuple(program for program in found if program is not None)

    def variables(self) -> dict[str, Program]:
        """Each sees those before it."""
        found: dict[str, Program] = {}
        known: dict[str, Kind] = {}
        self.declared["variables"] = Kind("object", schema=known)
        for index, each in enumerate(self.spec.get("variables") or ()):
            program = self.one(f"spec.variables[{index}].expression", each.get("expression"), ())
            known[str(each.get("name"))] = DYN if program is None else program.kind
            if program is not None:
                found[str(each.get("name"))] = program
        return found

    def validations(self) -> tuple[Validation, ...]:
        found = []
        for index, each in enumerate(self.spec.get("validations") or ()):
            place = f"spec.validations[{index}]"
            program = self.one(f"{place}.expression", each.get("expression"), (BOOL,))
            said = None
            if each.get("messageExpression"):
                said = self.one(f"{place}.messageExpression", each["messageExpression"], (STRING,))
            if program is not None:
                found.append(Validation(program, str(each.get("message") or ""), said, str(each.get("reason") or "")))
        return tuple(found)

    def audits(self) -> tuple[tuple[str, Program], ...]:
        found = []
        for index, each in enumerate(self.spec.get("auditAnnotations") or ()):
            place = f"spec.auditAnnotations[{index}].valueExpression"
            program = self.one(place, each.get("valueExpression"), (STRING, NULL))
            if program is not None:
                found.append((str(each.get("key") or ""), program))
        return tuple(found)

    def mutations(self) -> tuple[Mutation, ...]:
        found = []
        for index, each in enumerate(self.spec.get("mutations") or ()):
            is_patch = each.get("patchType") == "JSONPatch"
            part = "jsonPatch" if is_patch else "applyConfiguration"
            place = f"spec.mutations[{index}].{part}.expression"
            gives = (list_of(JSON_PATCH),) if is_patch else (Kind("Object"),)
            program = self.one(place, (each.get(part) or {}).get("expression"), gives, mutates=True)
            if program is not None:
                found.append(Mutation(program, is_patch))
        return tuple(found)


def compile_policy(object: Object, report: Report | None = None, declared: Mapping[str, Kind] = DECLARED) -> Policy:
    """The policy, of either kind. What is wrong goes to `report`; the first of it stands in `wrong`. With `declared` of
    a kind, `object` has its types."""
    errors: list[str] = []

    def told(field: str, text: str, why: str) -> None:
        errors.append(why)
        if report is not None:
            report(field, text, why)

    compiler = _Compiler(object.get("spec") or {}, told, declared)
    conditions = compiler.conditions()
    variables = compiler.variables()
    validations, audits, mutations = compiler.validations(), compiler.audits(), compiler.mutations()
    name = str((object.get("metadata") or {}).get("name") or "")
    return Policy(name, object, conditions, variables, validations, audits, mutations, errors[0] if errors else "")


def _is_same(one: Object, other: Object) -> bool:
    version = one["metadata"].get("resourceVersion")
    return one is other or (version is not None and version == other["metadata"].get("resourceVersion"))


class Shelf:
    """Compiled policies, by name, until the stored object changes. Whoever looks objects up may decode one again at any
    time, so it is known by its version."""

    def __init__(self) -> None:
        self._policies: dict[str, Policy] = {}

    def policy(self, object: Object) -> Policy:
        name = str(object["metadata"]["name"])
        known = self._policies.get(name)
        if known is None or not _is_same(known.object, object):
            known = self._policies[name] = compile_policy(object)
        return known

    def keep_only(self, names: set[str]) -> None:
        for name in [name for name in self._policies if name not in names]:
            del self._policies[name]
