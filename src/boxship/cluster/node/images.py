"""A container's image is on this machine when it starts: what the pull policy says, with the pod's credentials, several
pods' wish for the same image as one pull. An image that is here is used by those alone who may have it (`pulled`).

Source: documentation "Images" (pull policy, imagePullSecrets, image pull credential verification).
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.node.planning import NotPossible
from boxship.cluster.node.pulled import Access, PullRecords, Secret, Verification, hash_of
from boxship.cluster.node.runtime import Credentials, ImageStatus, PulledImage, Runtime
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.errors import BoxshipError
from boxship.spec import reference as references
from boxship.waiting import to_the_end

log = logging.getLogger(__name__)

DOCKER_HUB = (references.DEFAULT_DOMAIN, f"index.{references.DEFAULT_DOMAIN}")
PULL_FAILED, NEVER, BAD_NAME = "ErrImagePull", "ErrImageNeverPull", "InvalidImageName"
PRESENT = "already present on machine and can be accessed by the pod"
Tell = Callable[[str, str, str], None]  # type, reason, message


class Offer(msgspec.Struct, frozen=True):
    """Credentials that a pod brings, and the secret that they come from."""

    credentials: Credentials
    secret: Secret


class Images:
    """One for the node."""

    def __init__(
        self,
        client: Client,
        runtime: Runtime,
        records: PullRecords | None = None,
        verification: Verification = Verification(),  # noqa: B008 – a value that never changes
    ) -> None:
        self._client = client
        self._runtime = runtime
        self.records = records or PullRecords()
        self._verification = verification
        self._pulls: dict[tuple[str, tuple[Offer, ...]], asyncio.Task[tuple[PulledImage, float]]] = {}

    async def ensure(self, pod: Object, container: Object, tell: Tell) -> ImageStatus:
        """Raises NotPossible with the original's reason."""
        name, policy = container["image"], container.get("imagePullPolicy") or "IfNotPresent"
        wanted = full_name(name)
        try:
            return await self._ensured(pod, name, wanted, policy, tell)
        except BoxshipError as error:
            tell("Warning", "Failed", f'Failed to pull image "{name}": {error}')
            raise NotPossible(PULL_FAILED, str(error), image=name) from error

    async def _ensured(self, pod: Object, name: str, wanted: str, policy: str, tell: Tell) -> ImageStatus:
        await self.records.recover(self._runtime.images)
        found, offers = await self._runtime.image(wanted), None
        if found is not None and (policy != "Always" or found.is_local(wanted)):
            if self.records.is_asked(self._verification, found, wanted):
                offers = await self._offers(pod, wanted, tell)
                secrets = [offer.secret for offer in offers]
                may = await self.records.admits(found, wanted, secrets)
            else:
                may = True
            if may:
                renewed = await self._renewed(wanted, found) if policy == "Always" and wanted in found.nodes else None
                if renewed is None:
                    tell("Normal", "Pulled", f'Container image "{name}" {PRESENT}')
                    return found
                tell("Normal", "Pulled", f'Newer image "{name}" {source_of(renewed)}')
                return renewed.image
        if policy == "Never":
            message = f'Container image "{name}" is not present with pull policy of Never'
            tell("Warning", NEVER, message)
            raise NotPossible(NEVER, message, image=name)
        tell("Normal", "Pulling", f'Pulling image "{name}"')
        began = asyncio.get_running_loop().time()
        offers = offers if offers is not None else await self._offers(pod, wanted, tell)
        pulled, seconds = await self._pull(wanted, offers)
        await self.records.grant(pulled.image.id, wanted, access_of(pulled, offers))
        waited = asyncio.get_running_loop().time() - began
        source = f" {source_of(pulled)}" if pulled.node else ""
        shown = f"in {spell(seconds)} ({spell(waited)} including waiting). Image size: {pulled.image.size} bytes."
        tell("Normal", "Pulled", f'Successfully pulled image "{name}"{source} {shown}')
        return pulled.image

    async def _renewed(self, wanted: str, found: ImageStatus) -> PulledImage | None:
        """What the node that gave an image has made of it since; None: the same, or it cannot be asked."""
        try:
            pulled, _ = await self._pull(wanted, ())
        except BoxshipError as error:
            log.info("cannot ask whether image %s is still as it was given: %s", wanted, error)
            return None
        return pulled if pulled.image.id != found.id else None

    async def _pull(self, name: str, offers: tuple[Offer, ...]) -> tuple[PulledImage, float]:
        """As one with whoever else pulls the same; goes on when the last who waits for it goes away."""
        key = (name, offers)
        task = self._pulls.get(key)
        if task is None:
            task = self._pulls[key] = asyncio.ensure_future(self._pull_once(name, offers))
            task.add_done_callback(lambda _: self._pulls.pop(key, None))
        return await asyncio.shield(task)

    async def _pull_once(self, name: str, offers: tuple[Offer, ...]) -> tuple[PulledImage, float]:
        """What a pull that is cancelled has brought stays under its intent: nobody has shown a right to it."""
        began = asyncio.get_running_loop().time()
        ended = False
        try:
            await self.records.begin(name)
            found = await self._runtime.pull(name, tuple(dict.fromkeys(offer.credentials for offer in offers)))
            ended = True
            await self.records.done(name, found.image.id, access_of(found, offers), found.node)
        except BoxshipError:
            if not ended:
                ended = True
                await self.records.failed(name)
            raise
        finally:
            if not ended:
                self.records.abandoned(name)
        return found, asyncio.get_running_loop().time() - began - found.waited

    async def close(self) -> None:
        """End the pulls that are under way."""
        tasks = list(self._pulls.values())
        for task in tasks:
            task.cancel()
        await to_the_end(asyncio.gather(*tasks, return_exceptions=True))

    async def _offers(self, pod: Object, name: str, tell: Tell) -> tuple[Offer, ...]:
        namespace = pod["metadata"]["namespace"]
        found: list[Offer] = []
        missing = []
        for one in pod["spec"].get("imagePullSecrets") or ():
            if not one.get("name"):
                continue
            try:
                secret = await self._client.get("v1/secrets", namespace, one["name"])
            except Failure as failure:
                log.info("cannot read the secret %s/%s: %s", namespace, one["name"], failure)
                missing.append(one["name"])
                continue
            uid = str(secret["metadata"].get("uid") or "")
            for credentials in credentials_for(secret, name):
                found.append(Offer(credentials, Secret(namespace, one["name"], uid, hash_of(credentials))))
        if missing:
            message = (
                f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
                "attempting to pull the image may not succeed."
            )
            tell("Warning", "FailedToRetrieveImagePullSecret", message)
        return tuple(dict.fromkeys(found))


def source_of(pulled: PulledImage) -> str:
    return f"from node {pulled.node} ({pulled.image.id})"


def access_of(pulled: PulledImage, offers: Sequence[Offer]) -> Access:
    """Whom a pull has shown to have a right: whose credentials it took, or everyone where it took none."""
    if pulled.credentials is None:
        return Access(everyone=True)
    return Access(secrets=tuple(offer.secret for offer in offers if offer.credentials == pulled.credentials))


def full_name(name: str) -> str:
    """With the tag that is meant where none is written. Raises NotPossible."""
    try:
        return str(references.parse(name).with_default_tag())
    except BoxshipError as error:
        message = f'Failed to apply default image tag "{name}": couldn\'t parse image name "{name}": {error}'
        raise NotPossible(BAD_NAME, message, image=name) from error


def credentials_for(secret: Object, image: str) -> list[Credentials]:
    """What a secret of the kinds dockerconfigjson and dockercfg holds for the registry of an image."""
    data = secret.get("data") or {}
    try:
        if ".dockerconfigjson" in data:
            entries = msgspec.json.decode(base64.b64decode(data[".dockerconfigjson"])).get("auths") or {}
        elif ".dockercfg" in data:
            entries = msgspec.json.decode(base64.b64decode(data[".dockercfg"]))
        else:
            return []
        matching = sorted((place for place in entries if _is_for(place, image)), key=len, reverse=True)
        return [_credentials_of(entries[place]) for place in matching]
    except (msgspec.DecodeError, binascii.Error, AttributeError, TypeError, ValueError) as error:
        log.warning("cannot read the credentials of secret %s: %s", secret["metadata"].get("name"), error)
        return []


def _is_for(place: str, image: str) -> bool:
    """Whether "https://HOST/v1/", "HOST:PORT", "*.DOMAIN" or "HOST/PATH" means the image."""
    place = place.partition("://")[2] or place
    host, _, path = place.partition("/")
    path = path.strip("/")
    own_host, _, own_path = image.partition("/")
    if host in DOCKER_HUB:
        return own_host in DOCKER_HUB
    wanted, given = host.split("."), own_host.split(".")
    if len(wanted) != len(given):
        return False
    same = all(
        one in ("*", other) or (one.startswith("*") and other.endswith(one[1:]))
        for one, other in zip(wanted, given, strict=True)
    )
    return same and (path in ("", "v1", "v2") or own_path == path or own_path.startswith((path + "/", path + ":")))


def _credentials_of(entry: Mapping[str, Any]) -> Credentials:
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth") and not user:
        user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
    return Credentials(user, password, str(entry.get("identitytoken") or entry.get("registrytoken") or ""))


def spell(seconds: float) -> str:
    """As Go writes a duration, to the millisecond."""
    if seconds < 1:
        return f"{max(round(seconds * 1000), 0)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
