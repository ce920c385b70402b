"""The rules of admissionregistration.k8s.io."""

from collections.abc import Mapping

from boxship.cluster.objects.rules import Rules

RULES: Mapping[str, Rules] = {
    "MutatingWebhookConfiguration": Rules(generation=True),
    "ValidatingWebhookConfiguration": Rules(generation=True),
    "ValidatingAdmissionPolicy": Rules(generation=True),
    "ValidatingAdmissionPolicyBinding": Rules(generation=True),
    "MutatingAdmissionPolicy": Rules(generation=True),
    "MutatingAdmissionPolicyBinding": Rules(generation=True),
}
