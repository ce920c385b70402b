"""The reviews: objects that are not stored but answered, with what the authoriser or authenticator says."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from boxship.cluster.api.authorization.authorizer import Authorizer
from boxship.cluster.api.request import SYSTEM_MASTERS, Ask, User
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure


class TokenReader(Protocol):
    async def review(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, tuple[str, ...]]:
        """Raises Failure Unauthorized."""


class Reviews:
    """Fills the status of a review. The review's kind decides what is asked; its spec has been checked."""

    def __init__(self, authorizer: Authorizer, tokens: TokenReader) -> None:
        self._authorizer = authorizer
        self._tokens = tokens
        self._answers: dict[str, Callable[[User, Object], Awaitable[dict[str, Any]]]] = {
            "TokenReview": self._token,
            "SubjectAccessReview": self._subject,
            "LocalSubjectAccessReview": self._subject,
            "SelfSubjectAccessReview": self._self,
            "SelfSubjectRulesReview": self._rules,
            "SelfSubjectReview": self._whoami,
        }

    async def answer(self, user: User, review: Object) -> Object:
        """The review of a user with its status. Raises KeyError for a kind that is none."""
        return {**review, "status": await self._answers[review["kind"]](user, review)}

    async def _token(self, _: User, review: Object) -> dict[str, Any]:
        spec = review.get("spec") or {}
        try:
            user, audiences = await self._tokens.review(spec.get("token", ""), spec.get("audiences") or ())
        except Failure as failure:
            return {"user": {}, "error": str(failure)}
        return {"authenticated": True, "user": user_object(user), "audiences": list(audiences)}

    async def _subject(self, _: User, review: Object) -> dict[str, Any]:
        spec = review.get("spec") or {}
        extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
        asked = User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra)
        return await self._access(asked, spec)

    async def _self(self, user: User, review: Object) -> dict[str, Any]:
        return await self._access(user, review.get("spec") or {})

    async def _access(self, user: User, spec: dict[str, Any]) -> dict[str, Any]:
        decision = await self._authorizer.authorize(ask_of(user, spec))
        status: dict[str, Any] = {"allowed": decision.allowed}
        if decision.denied:
            status["denied"] = True
        if decision.reason:
            status["reason"] = decision.reason
        return status

    async def _rules(self, user: User, review: Object) -> dict[str, Any]:
        namespace = (review.get("spec") or {}).get("namespace", "")
        rules = [rule.object() for rule in self._authorizer.rules_for(user, namespace)]
        status: dict[str, Any] = {
            "resourceRules": [rule for rule in rules if "nonResourceURLs" not in rule],
            "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
            "incomplete": False,
        }
        missing = self._authorizer.roles.missing_role(user, namespace)
        if missing and SYSTEM_MASTERS not in user.groups:
            status["evaluationError"] = ", ".join(missing)
        return status

    async def _whoami(self, user: User, _: Object) -> dict[str, Any]:
        return {"userInfo": user_object(user)}


def ask_of(user: User, spec: dict[str, Any]) -> Ask:
    """The question in an access review's spec."""
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return Ask(user, path.get("verb", ""), path=path.get("path", ""))
    asked = spec.get("resourceAttributes") or {}
    return Ask(
        user,
        asked.get("verb", ""),
        group=asked.get("group", ""),
        version=asked.get("version", ""),
        resource=asked.get("resource", ""),
        subresource=asked.get("subresource", ""),
        namespace=asked.get("namespace", ""),
        name=asked.get("name", ""),
        label_selector=_selector(asked.get("labelSelector")),
        field_selector=_selector(asked.get("fieldSelector")),
    )


def user_object(user: User) -> dict[str, Any]:
    """A user as reviews show one."""
    shown: dict[str, Any] = {"username": user.name}
    if user.uid:
        shown["uid"] = user.uid
    if user.groups:
        shown["groups"] = list(user.groups)
    if user.extra:
        shown["extra"] = {key: list(values) for key, values in user.extra.items()}
    return shown


def _selector(selector: dict[str, Any] | None) -> str:
    """The text of a selector that is given raw or in parts; what an authoriser cannot use widens the question."""
    if not selector:
        return ""
    if selector.get("rawSelector"):
        return str(selector["rawSelector"])
    terms = []
    for part in selector.get("requirements") or ():
        values = list(part.get("values") or [])
        if part.get("operator") == "In" and len(values) == 1:
            terms.append(f"{part.get('key', '')}={values[0]}")
    return ",".join(terms)
