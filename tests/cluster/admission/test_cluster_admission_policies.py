"""ValidatingAdmissionPolicy, MutatingAdmissionPolicy, match conditions: over a lookup given by the test."""

from typing import Any

import msgspec
import pytest
from cluster_admission_kit import ALICE, Known, named, pod, resource_at, write

from boxship.cluster.api.admission.policies.checking import PolicyExpressions, type_warnings
from boxship.cluster.api.admission.policies.compiled import Shelf
from boxship.cluster.api.admission.policies.conditions import MatchConditions
from boxship.cluster.api.admission.policies.mutating import MutatingAdmissionPolicy
from boxship.cluster.api.admission.policies.requests import Requests
from boxship.cluster.api.admission.policies.validating import ValidatingAdmissionPolicy
from boxship.cluster.api.request import Ask, Decision
from boxship.cluster.objects import Object
from boxship.cluster.objects.catalog import of_kind
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.schema.builtin import load
from boxship.cluster.objects.schema.types import Type

GROUP = "admissionregistration.k8s.io/v1"
VALIDATING, MUTATING = f"{GROUP}/validatingadmissionpolicies", f"{GROUP}/mutatingadmissionpolicies"
SCHEMAS = load(None)
PODS = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["pods"]}]


def decide(ask: Ask) -> Decision:
    return Decision(ask.verb == "use" and ask.name != "none", f"asked for {ask.resource or ask.path}")


async def convert(made: Object, resource: Resource) -> Object:
    return {**made, "apiVersion": resource.api_version}


def kind_of(version: str, kind: str) -> Resource | None:
    group, _, short = version.rpartition("/")
    return of_kind(group, short, kind)


def type_of(resource: Resource) -> Type:
    return SCHEMAS.type_of(resource.group, resource.version, resource.kind)


def judging(known: Known) -> ValidatingAdmissionPolicy:
    return ValidatingAdmissionPolicy(known, lambda _: (), kind_of, Requests(convert), decide)


def changing(known: Known) -> MutatingAdmissionPolicy:
    return MutatingAdmissionPolicy(
        known, lambda _: (), kind_of, Requests(convert), decide, type_of, lambda made, _: made
    )


def policy(*validations: Any, **spec: Any) -> Object:
    """A policy on pods; a validation may be just its expression."""
    listed = [{"expression": each} if isinstance(each, str) else each for each in validations]
    return named("p", spec={"matchConstraints": {"resourceRules": PODS}, "validations": listed, **spec})


def bound(made: Object, **spec: Any) -> Known:
    binding = named("b", spec={"policyName": "p", "validationActions": ["Deny"], **spec})
    return (
        Known()
        .put(VALIDATING, made)
        .put(f"{GROUP}/validatingadmissionpolicybindings", binding)
        .put("v1/namespaces", named("default", metadata={"labels": {"team": "a"}}))
    )


async def refusal(known: Known, attributes: Any) -> str:
    """What is said of the write; "" where it passes."""
    try:
        await judging(known).validate(attributes)
    except Failure as failure:
        return str(failure)
    return ""


async def test_what_is_false_is_refused() -> None:
    known = bound(policy("object.metadata.name != 'bad'"))
    assert await refusal(known, write("v1/pods", pod("good"))) == ""
    with pytest.raises(Failure) as refused:
        await judging(known).validate(write("v1/pods", pod("bad")))
    text = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: "
    text += "object.metadata.name != 'bad'"
    assert str(refused.value) == f'pods "bad" is forbidden: {text}'
    assert (refused.value.code, refused.value.reason) == (422, "Invalid")
    assert refused.value.status()["details"]["causes"] == [{"message": text}]


@pytest.mark.parametrize(
    ("validation", "said", "code"),
    [
        ({"expression": "false", "message": " no "}, "denied request: no", 422),
        ({"expression": "false", "messageExpression": "'not ' + object.metadata.name"}, "denied request: not p", 422),
        ({"expression": "false", "messageExpression": "string(1 / 0)", "message": "m"}, "denied request: m", 422),
        ({"expression": "false", "message": "m", "reason": "Forbidden"}, "denied request: m", 403),
        ({"expression": "object.spec.nope"}, "expression 'object.spec.nope' resulted in error: no such key: nope", 422),
    ],
)
async def test_what_is_said(validation: Object, said: str, code: int) -> None:
    with pytest.raises(Failure) as refused:
        await judging(bound(policy(validation))).validate(write("v1/pods", pod()))
    assert said in str(refused.value)
    assert refused.value.code == code


async def test_errors_pass_where_the_policy_ignores_them() -> None:
    for expression in ("object.spec.nope == 1", "object.spec.containers[5].name == ''"):
        assert await refusal(bound(policy(expression, failurePolicy="Ignore")), write("v1/pods", pod())) == ""
        assert "resulted in error" in await refusal(bound(policy(expression)), write("v1/pods", pod()))
    assert "failed expression" in await refusal(bound(policy("false", failurePolicy="Ignore")), write("v1/pods", pod()))


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("request.userInfo.username == 'alice' && 'system:authenticated' in request.userInfo.groups", True),
        ("request.operation == 'CREATE' && request.resource.resource == 'pods' && request.kind.kind == 'Pod'", True),
        ("request.namespace == 'default' && request.name == 'p' && !request.dryRun", True),
        ("namespaceObject.metadata.labels.team == 'a'", True),
        ("oldObject == null && object.metadata.name == 'p'", True),
        ("authorizer.group('').resource('pods').namespace('x').name('y').check('use').allowed()", True),
        ("authorizer.group('').resource('pods').name('none').check('use').allowed()", False),
        ("authorizer.path('/healthz').check('get').allowed()", False),
        ("authorizer.path('/healthz').check('use').reason() == 'asked for /healthz'", True),
        ("authorizer.serviceAccount('a', 'b').group('').resource('pods').check('use').allowed()", True),
        ("authorizer.requestResource.check('use').allowed()", True),
        ("variables.three == 3 && variables.six == 6 && has(variables.three)", True),
        ("variables.broken == 1 || variables.three == 3", True),
    ],
)
async def test_what_expressions_see(expression: str, holds: bool) -> None:
    variables = [
        {"name": "three", "expression": "1 + 2"},
        {"name": "six", "expression": "variables.three * 2"},
        {"name": "broken", "expression": "1 / 0"},
    ]
    known = bound(policy(expression, variables=variables))
    assert (await refusal(known, write("v1/pods", pod())) == "") is holds


async def test_warnings_and_audit_do_not_refuse() -> None:
    audit = [{"key": "who", "valueExpression": "'by ' + request.userInfo.username"}]
    audit.append({"key": "none", "valueExpression": "true ? '' : 'x'"})
    known = bound(
        policy({"expression": "false", "message": "m"}, auditAnnotations=audit), validationActions=["Warn", "Audit"]
    )
    attributes = write("v1/pods", pod())
    await judging(known).validate(attributes)
    assert attributes.request.warn == ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': m"]
    assert attributes.request.notes["p/who"] == "by alice"
    assert "p/none" not in attributes.request.notes
    (noted,) = msgspec.json.decode(attributes.request.notes["validation.policy.admission.k8s.io/validation_failure"])
    assert noted["message"] == "m"
    assert noted["validationActions"] == ["Warn", "Audit"]


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"matchConstraints": {"resourceRules": [{**PODS[0], "resources": ["secrets"]}]}}, False),
        ({"matchConstraints": {"resourceRules": [{**PODS[0], "operations": ["UPDATE"]}]}}, False),
        ({"matchConstraints": {"resourceRules": PODS, "excludeResourceRules": PODS}}, False),
        ({"matchConstraints": {"resourceRules": PODS, "namespaceSelector": {"matchLabels": {"team": "b"}}}}, False),
        ({"matchConstraints": {"resourceRules": PODS, "namespaceSelector": {"matchLabels": {"team": "a"}}}}, True),
        ({"matchConstraints": {"resourceRules": PODS, "objectSelector": {"matchLabels": {"x": "y"}}}}, False),
        ({"matchConstraints": {"resourceRules": [{**PODS[0], "resourceNames": ["q"]}]}}, False),
        ({"matchConditions": [{"name": "c", "expression": "object.metadata.name == 'q'"}]}, False),
        ({"matchConditions": [{"name": "c", "expression": "object.metadata.name == 'p'"}]}, True),
        (
            {"matchConditions": [{"name": "c", "expression": "object.x == 1"}, {"name": "d", "expression": "false"}]},
            False,
        ),
        ({"matchConditions": [{"name": "c", "expression": "object.x == 1"}]}, True),
        ({"matchConditions": [{"name": "c", "expression": "object.x == 1"}], "failurePolicy": "Ignore"}, False),
    ],
)
async def test_which_writes_are_judged(change: Object, refused: bool) -> None:
    assert (await refusal(bound(policy("false", **change)), write("v1/pods", pod())) != "") is refused


async def test_a_binding_may_narrow_and_is_needed() -> None:
    narrow = {"matchResources": {"objectSelector": {"matchLabels": {"x": "y"}}}}
    assert await refusal(bound(policy("false"), **narrow), write("v1/pods", pod())) == ""
    assert await refusal(Known().put(VALIDATING, policy("false")), write("v1/pods", pod())) == ""
    assert await refusal(bound(policy("false"), policyName="q"), write("v1/pods", pod())) == ""


PARAMETERS = {"apiVersion": "v1", "kind": "ConfigMap"}


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"name": "low"}, "failed expression"),
        ({"name": "high"}, ""),
        ({"name": "high", "namespace": "default"}, ""),
        ({"name": "high", "namespace": "elsewhere"}, "no params found for policy binding with `Deny`"),
        ({"name": "missing"}, "no params found for policy binding with `Deny`"),
        ({"name": "missing", "parameterNotFoundAction": "Allow"}, ""),
        ({"selector": {"matchLabels": {"for": "pods"}}}, "failed expression"),
        ({"selector": {"matchLabels": {"for": "none"}}, "parameterNotFoundAction": "Allow"}, ""),
    ],
)
async def test_parameters(where: Object, said: str) -> None:
    known = bound(policy("object.metadata.name.size() <= int(params.data.most)", paramKind=PARAMETERS), paramRef=where)
    known.put(
        "v1/configmaps",
        named("low", "default", metadata={"labels": {"for": "pods"}}, data={"most": "0"}),
        named("high", "default", metadata={"labels": {"for": "pods"}}, data={"most": "9"}),
    )
    got = await refusal(known, write("v1/pods", pod()))
    assert said in got
    assert bool(said) == bool(got)


async def test_parameters_of_a_kind_that_nobody_serves() -> None:
    known = bound(policy("true", paramKind={"apiVersion": "x.io/v1", "kind": "X"}), paramRef={"name": "a"})
    got = await refusal(known, write("v1/pods", pod()))
    assert "failed to find resource referenced by paramKind: 'x.io/v1, Kind=X'" in got


async def test_policies_never_judge_themselves() -> None:
    everything = [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}]
    known = bound(policy("false", matchConstraints={"resourceRules": everything}))
    assert await refusal(known, write(VALIDATING, policy("true"))) == ""
    assert await refusal(known, write("v1/pods", None, old=pod(), operation="DELETE")) != ""


def mutated_by(*expressions: str, **spec: Any) -> Known:
    """Each is a JSON patch if it begins with a bracket, else a configuration."""
    mutations = [
        {"patchType": "JSONPatch", "jsonPatch": {"expression": each}}
        if each.startswith("[")
        else {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": each}}
        for each in expressions
    ]
    made = named("p", spec={"matchConstraints": {"resourceRules": PODS}, "mutations": mutations, **spec})
    binding = named("b", spec={"policyName": "p"})
    return Known().put(MUTATING, made).put(f"{GROUP}/mutatingadmissionpolicybindings", binding)


async def test_configurations_and_patches_change_the_object() -> None:
    sidecar = "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'side', image: 's:1'}]}}"
    label = "[JSONPatch{op: 'add', path: '/metadata/labels', value: {'a/b': string(size(object.spec.containers))}}]"
    escaped = "[JSONPatch{op: 'replace', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'c'}]"
    attributes = write("v1/pods", pod())
    await changing(mutated_by(sidecar, label)).admit(attributes)
    assert attributes.object is not None
    assert [each["name"] for each in attributes.object["spec"]["containers"]][-1] == "side"
    assert attributes.object["metadata"]["labels"] == {"a/b": "2"}
    await changing(mutated_by(escaped)).admit(attributes)
    assert attributes.object["metadata"]["labels"] == {"a/b": "c"}


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("Object{spec: Object.spec{nope: 1}}", "invalid ApplyConfiguration: .spec.nope: field not declared in schema"),
        (
            "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'c', args: ['a']}]}}",
            "may not mutate atomic",
        ),
        ("Object{metadata: Object.metadata{name: 'other'}}", "metadata.name may not be changed"),
        ("[JSONPatch{op: 'remove', path: '/spec/nope'}]", "unable to remove nonexistent key"),
        ("Object{metadata: Object.metadata{labels: {'a': object.spec.nope}}}", "no such key: nope"),
    ],
)
async def test_mutations_that_cannot_be_carried_out(expression: str, why: str) -> None:
    with pytest.raises(Failure) as refused:
        await changing(mutated_by(expression)).admit(write("v1/pods", pod()))
    assert "policy 'p' with binding 'b' denied request: " in str(refused.value)
    assert why in str(refused.value)
    attributes = write("v1/pods", pod())
    await changing(mutated_by(expression, failurePolicy="Ignore")).admit(attributes)
    assert attributes.object == pod()


async def test_a_policy_looks_again_only_where_it_asks_for_it() -> None:
    count = "[JSONPatch{op: 'add', path: '/metadata/labels', value: {'n': string(size(object.metadata.name))}}]"
    for reinvocation, label in (("IfNeeded", "5"), ("Never", "1")):
        plugin, attributes = changing(mutated_by(count, reinvocationPolicy=reinvocation)), write("v1/pods", pod())
        await plugin.admit(attributes)
        attributes.again = True
        await plugin.admit(attributes)
        assert attributes.object is not None
        attributes.object = {**attributes.object, "metadata": {**attributes.object["metadata"], "name": "other"}}
        await plugin.admit(attributes)
        assert attributes.object["metadata"]["labels"] == {"n": label}


async def test_match_conditions_of_webhooks() -> None:
    conditions, attributes = MatchConditions(decide), write("v1/pods", pod())
    request = await Requests(convert).of(attributes, resource_at("v1/pods"))

    async def asked(*expressions: str) -> bool:
        return await conditions([{"name": "c", "expression": each} for each in expressions], attributes, request)

    assert await asked("object.metadata.name == 'p'", f"request.userInfo.username == '{ALICE.name}'")
    assert not await asked("object.x == 1", "false")
    with pytest.raises(Failure, match="resulted in error: no such key: x"):
        await asked("object.x == 1")


@pytest.mark.parametrize(
    ("spec", "field", "why"),
    [
        ({"validations": [{"expression": "object.x ="}]}, "spec.validations[0].expression", "Syntax error"),
        ({"validations": [{"expression": "1"}]}, "spec.validations[0].expression", "must evaluate to a bool"),
        (
            {"validations": [{"expression": "params.x"}]},
            "spec.validations[0].expression",
            "undeclared reference to 'params'",
        ),
        ({"validations": [{"expression": "variables.x"}]}, "spec.validations[0].expression", "undefined field 'x'"),
        (
            {"validations": [{"expression": "true", "messageExpression": "1"}]},
            "spec.validations[0].messageExpression",
            "must evaluate to string",
        ),
        ({"matchConditions": [{"expression": "variables.x"}]}, "spec.matchConditions[0].expression", "'variables'"),
        (
            {"variables": [{"name": "a", "expression": "b"}]},
            "spec.variables[0].expression",
            "undeclared reference to 'b'",
        ),
        (
            {"auditAnnotations": [{"valueExpression": "1"}]},
            "spec.auditAnnotations[0].valueExpression",
            "string or null",
        ),
    ],
)
async def test_wrong_expressions_are_refused_when_they_are_written(spec: Object, field: str, why: str) -> None:
    with pytest.raises(Failure) as refused:
        await PolicyExpressions().validate(write(VALIDATING, named("p", spec=spec)))
    assert refused.value.code == 422
    assert refused.value.causes[0].field == field
    assert why in refused.value.causes[0].message


async def test_expressions_of_webhooks_are_checked_too() -> None:
    webhook = {"name": "w", "matchConditions": [{"name": "c", "expression": "objct == null"}]}
    with pytest.raises(Failure, match="undeclared reference to 'objct'"):
        await PolicyExpressions().validate(
            write(f"{GROUP}/validatingwebhookconfigurations", named("w", webhooks=[webhook]))
        )


def test_a_typed_check_warns_of_fields_that_the_kinds_do_not_have() -> None:
    made = policy("object.spec.containres.size() > 0", "object.spec.nodeName == ''")
    pods = resource_at("v1/pods")
    (warning,) = type_warnings(made, lambda: iter([(pods, type_of(pods))]))
    assert warning["fieldRef"] == "spec.validations[0].expression"
    assert warning["warning"].startswith("v1, Kind=Pod: ERROR: <input>:1:12: undefined field 'containres'")


async def test_long_work_is_done_beside_and_ends() -> None:
    many = {"numbers": list(range(60))}
    made = {**pod(), "many": many}
    holds = "object.many.numbers.all(a, object.many.numbers.all(b, a + b >= 0))"
    assert await refusal(bound(policy(holds)), write("v1/pods", made)) == ""
    endless = holds.replace("a + b >= 0", "object.many.numbers.all(c, object.many.numbers.all(d, a + b + c + d >= 0))")
    got = await refusal(bound(policy(endless)), write("v1/pods", made))
    assert "operation cancelled: actual cost limit exceeded" in got


def test_a_policy_is_compiled_once_a_version() -> None:
    shelf = Shelf()
    made = policy("true")
    made["metadata"]["resourceVersion"] = "5"
    first = shelf.policy(made)
    assert shelf.policy(msgspec.json.decode(msgspec.json.encode(made))) is first
    assert shelf.policy({**made, "metadata": {**made["metadata"], "resourceVersion": "6"}}) is not first
