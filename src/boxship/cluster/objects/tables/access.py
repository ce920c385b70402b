"""Who may do what, as table rows: bindings, certificate requests, admission, flow control, and APIs of others."""

from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.tables.columns import AGE, NAME, Column, View, plain
from boxship.cluster.objects.tables.text import (
    NONE,
    UNSET,
    age,
    condition,
    duration,
    items,
    name_of,
    number,
    part,
    text,
)


def binding_cells(object: Object, now: float) -> list[Any]:
    def subjects(kind: str) -> str:
        found = [subject for subject in items(object, "subjects") if text(subject, "kind") == kind]
        named = [
            f"{text(s, 'namespace')}/{text(s, 'name')}" if kind == "ServiceAccount" else text(s, "name") for s in found
        ]
        return ", ".join(named)

    role = f"{text(object, 'roleRef', 'kind')}/{text(object, 'roleRef', 'name')}"
    return [name_of(object), role, age(object, now), *map(subjects, ("User", "Group", "ServiceAccount"))]


def request_state(object: Object) -> str:
    """Where a CertificateSigningRequest stands."""
    kinds = {text(found, "type") for found in items(object, "status", "conditions")}
    decided = "Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"
    issued = ",Issued" if text(object, "status", "certificate") else ""
    return f"{decided}{',Failed' if 'Failed' in kinds else ''}{issued}"


def request_cells(object: Object, now: float) -> list[Any]:
    spec = part(object, "spec")
    seconds = spec.get("expirationSeconds")
    asked = NONE if seconds is None else duration(number(spec, "expirationSeconds"))
    signer = text(spec, "signerName") or NONE
    return [name_of(object), age(object, now), signer, text(spec, "username"), asked, request_state(object)]


def _parameters_kind(object: Object) -> str:
    kind = part(object, "spec", "paramKind")
    return f"{text(kind, 'apiVersion')}/{text(kind, 'kind')}" if kind else UNSET


def _selector_value(selector: Any) -> str:
    """As Go prints a LabelSelector, which is what the original shows."""
    labels = "".join(f"{key}: {value}," for key, value in sorted(part(selector, "matchLabels").items()))
    expressions = ""
    for found in items(selector, "matchExpressions"):
        values = " ".join(map(str, items(found, "values")))
        told = f"Key:{text(found, 'key')},Operator:{text(found, 'operator')},Values:[{values}],"
        expressions += f"LabelSelectorRequirement{{{told}}},"
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )


def policy_binding_cells(object: Object) -> list[Any]:
    spec = part(object, "spec")
    reference = part(spec, "paramRef")
    shown = UNSET
    if text(reference, "name"):
        shown = f"{text(reference, 'namespace') or '*'}/{text(reference, 'name')}"
    elif reference.get("selector") is not None:
        shown = _selector_value(reference["selector"])
    return [text(spec, "policyName"), shown]


def flow_cells(object: Object, now: float) -> list[Any]:
    spec = part(object, "spec")
    method = NONE if spec.get("distinguisherMethod") is None else text(spec, "distinguisherMethod", "type")
    level, precedence = text(spec, "priorityLevelConfiguration", "name"), number(spec, "matchingPrecedence")
    dangling = text(condition(object, "Dangling"), "status") if condition(object, "Dangling") else "?"
    return [name_of(object), level, precedence, method, age(object, now), dangling]


def level_cells(object: Object) -> list[Any]:
    spec = part(object, "spec")
    limited, queuing = spec.get("limited"), part(spec, "limited", "limitResponse").get("queuing")
    shares = NONE if limited is None else part(limited).get("nominalConcurrencyShares", 0)
    queues = ("queues", "handSize", "queueLengthLimit")
    return [text(spec, "type"), shares, *(NONE if queuing is None else number(queuing, key) for key in queues)]


def service_cells(object: Object) -> list[Any]:
    """Of an APIService."""
    service, available = part(object, "spec", "service"), condition(object, "Available")
    where = f"{text(service, 'namespace')}/{text(service, 'name')}" if service else "Local"
    state = text(available, "status") or "Unknown"
    return [where, f"{state} ({text(available, 'reason')})" if available and state != "True" else state]


BINDING = View(
    (
        NAME,
        Column("Role", description="The role that is given."),
        AGE,
        Column("Users", description="Users in the binding", priority=1),
        Column("Groups", description="Groups in the binding", priority=1),
        Column("ServiceAccounts", description="ServiceAccounts in the binding", priority=1),
    ),
    binding_cells,
)
WEBHOOKS = plain(
    Column("Webhooks", "integer", "Webhooks indicates the number of webhooks registered in this configuration"),
    between=lambda object: [len(items(object, "webhooks"))],
)
PARAMETERS = Column("ParamKind", description="The kind of the objects that hold the policy's parameters.")
POLICY_BINDING = plain(
    Column("PolicyName", description="The policy that is bound."),
    Column("ParamRef", description="The objects that hold the policy's parameters."),
    between=policy_binding_cells,
)
ADMISSION = {
    "MutatingWebhookConfiguration": WEBHOOKS,
    "ValidatingWebhookConfiguration": WEBHOOKS,
    "ValidatingAdmissionPolicy": plain(
        Column("Validations", "integer", "Validations indicates the number of validation rules of the policy."),
        PARAMETERS,
        between=lambda object: [len(items(object, "spec", "validations")), _parameters_kind(object)],
    ),
    "MutatingAdmissionPolicy": plain(
        Column("Mutations", "integer", "Mutation indicates the number of mutations of the policy."),
        PARAMETERS,
        between=lambda object: [len(items(object, "spec", "mutations")), _parameters_kind(object)],
    ),
    "ValidatingAdmissionPolicyBinding": POLICY_BINDING,
    "MutatingAdmissionPolicyBinding": POLICY_BINDING,
}
FLOW_CONTROL = {
    "FlowSchema": View(
        (
            NAME,
            Column("PriorityLevel", description="The level that its requests belong to."),
            Column("MatchingPrecedence", description="Lower ones are asked first."),
            Column("DistinguisherMethod", description="What makes one flow of requests."),
            AGE,
            Column("MissingPL", description="references a broken or non-existent PriorityLevelConfiguration"),
        ),
        flow_cells,
        order=lambda object: (number(object, "spec", "matchingPrecedence"), name_of(object)),
    ),
    "PriorityLevelConfiguration": plain(
        Column("Type", description="Whether the level has limits."),
        Column("NominalConcurrencyShares", description="Its share of the requests that run at once."),
        Column("Queues", description="The number of queues."),
        Column("HandSize", description="The number of queues that one flow may use."),
        Column("QueueLengthLimit", description="The number of requests that one queue holds."),
        between=level_cells,
    ),
}
REQUEST = View(
    (
        NAME,
        AGE,
        Column("SignerName", description="Who is asked to sign."),
        Column("Requestor", description="Who asks."),
        Column("RequestedDuration", description="How long the certificate should hold."),
        Column("Condition", description="What was decided."),
    ),
    request_cells,
)

VIEWS = {
    **{("admissionregistration.k8s.io", kind): view for kind, view in ADMISSION.items()},
    **{("flowcontrol.apiserver.k8s.io", kind): view for kind, view in FLOW_CONTROL.items()},
    ("rbac.authorization.k8s.io", "RoleBinding"): BINDING,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): BINDING,
    ("certificates.k8s.io", "CertificateSigningRequest"): REQUEST,
    ("apiregistration.k8s.io", "APIService"): plain(
        Column("Service", description="The reference to the service that hosts this API endpoint."),
        Column("Available", description="Whether this service is available."),
        between=service_cells,
    ),
}
