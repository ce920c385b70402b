"""A container's image is on this machine when it starts: what the pull policy says, with the pod's credentials, several
pods' wish for the same image as one pull, and pauses between tries that fail.

Source: documentation "Images" (pull policy, imagePullSecrets, ImagePullBackOff).
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.node.planning import NotPossible
from boxship.cluster.node.runtime import Credentials, ImageStatus, Runtime
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.errors import BoxshipError
from boxship.spec import reference as references
from boxship.waiting import to_the_end

log = logging.getLogger(__name__)

DOCKER_HUB = (references.DEFAULT_DOMAIN, f"index.{references.DEFAULT_DOMAIN}")
PULLS = 5  # at once
PULL_FAILED, NEVER, BAD_NAME = "ErrImagePull", "ErrImageNeverPull", "InvalidImageName"
PRESENT = "already present on machine and can be accessed by the pod"
Tell = Callable[[str, str, str], None]  # type, reason, message


class Images:
    """One for the node."""

    def __init__(self, client: Client, runtime: Runtime) -> None:
        self._client = client
        self._runtime = runtime
        self._slots = asyncio.Semaphore(PULLS)
        self._pulls: dict[tuple[str, tuple[Credentials, ...]], asyncio.Task[tuple[ImageStatus, float]]] = {}

    async def ensure(self, pod: Object, container: Object, tell: Tell) -> ImageStatus:
        """Raises NotPossible with the original's reason."""
        name, policy = container["image"], container.get("imagePullPolicy") or "IfNotPresent"
        wanted = full_name(name)
        found = await self._runtime.image(wanted)
        if found is not None and (policy != "Always" or found.is_local(wanted)):
            tell("Normal", "Pulled", f'Container image "{name}" {PRESENT}')
            return found
        if policy == "Never":
            message = f'Container image "{name}" is not present with pull policy of Never'
            tell("Warning", NEVER, message)
            raise NotPossible(NEVER, message, image=name)
        tell("Normal", "Pulling", f'Pulling image "{name}"')
        began = asyncio.get_running_loop().time()
        try:
            pulled, seconds = await self._pull(wanted, await self._credentials(pod, wanted, tell))
        except BoxshipError as error:
            tell("Warning", "Failed", f'Failed to pull image "{name}": {error}')
            raise NotPossible(PULL_FAILED, str(error), image=name) from error
        waited = asyncio.get_running_loop().time() - began
        shown = f"in {spell(seconds)} ({spell(waited)} including waiting). Image size: {pulled.size} bytes."
        tell("Normal", "Pulled", f'Successfully pulled image "{name}" {shown}')
        return pulled

    async def _pull(self, name: str, credentials: tuple[Credentials, ...]) -> tuple[ImageStatus, float]:
        """As one with whoever else pulls the same; goes on when the last who waits for it goes away."""
        key = (name, credentials)
        task = self._pulls.get(key)
        if task is None:
            task = self._pulls[key] = asyncio.ensure_future(self._pull_once(name, credentials))
            task.add_done_callback(lambda _: self._pulls.pop(key, None))
        return await asyncio.shield(task)

    async def _pull_once(self, name: str, credentials: tuple[Credentials, ...]) -> tuple[ImageStatus, float]:
        async with self._slots:
            began = asyncio.get_running_loop().time()
            found = await self._runtime.pull(name, credentials)
            return found, asyncio.get_running_loop().time() - began

    async def close(self) -> None:
        """End the pulls that are under way."""
        tasks = list(self._pulls.values())
        for task in tasks:
            task.cancel()
        await to_the_end(asyncio.gather(*tasks, return_exceptions=True))

    async def _credentials(self, pod: Object, name: str, tell: Tell) -> tuple[Credentials, ...]:
        namespace = pod["metadata"]["namespace"]
        found: list[Credentials] = []
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
            found += credentials_for(secret, name)
        if missing:
            message = (
                f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
                "attempting to pull the image may not succeed."
            )
            tell("Warning", "FailedToRetrieveImagePullSecret", message)
        return tuple(dict.fromkeys(found))


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
