"""The rules of authentication.k8s.io and authorization.k8s.io."""

from collections.abc import Mapping

from boxship.cluster.objects.rules import Rules

RULES: Mapping[str, Rules] = {
    "TokenReview": Rules(),
    "SelfSubjectReview": Rules(),
    "SubjectAccessReview": Rules(),
    "LocalSubjectAccessReview": Rules(),
    "SelfSubjectAccessReview": Rules(),
    "SelfSubjectRulesReview": Rules(),
}
