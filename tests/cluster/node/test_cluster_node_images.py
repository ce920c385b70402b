"""Images for containers: policies, credentials, one pull for many."""

import asyncio
import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.cluster.node.images import Images, credentials_for, full_name, spell
from boxship.cluster.node.life.messages import tail
from boxship.cluster.node.planning import NotPossible
from boxship.cluster.node.runtime import Credentials, ImageStatus, PulledImage
from boxship.cluster.node.simulated.runtime import SimulatedRuntime
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure

NAME = "docker.io/library/one:1"


class Secrets:
    def __init__(self, **found: Object) -> None:
        self.found = found

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        if name not in self.found:
            raise Failure(404, "NotFound", f'secrets "{name}" not found')
        return self.found[name]


def secret(place: str, user: str = "me") -> Object:
    auth = base64.b64encode(f"{user}:word".encode()).decode()
    data = base64.b64encode(json.dumps({"auths": {place: {"auth": auth}}}).encode()).decode()
    return {"metadata": {"name": "s"}, "data": {".dockerconfigjson": data}}


class Told(list[tuple[str, str, str]]):
    def __call__(self, *words: str) -> None:
        self.append((words[0], words[1], words[2]))


def pod(*secrets: str) -> Object:
    names = [{"name": name} for name in secrets]
    return {"metadata": {"namespace": "default"}, "spec": {"imagePullSecrets": names}}


def wanted(policy: str, image: str = "one:1") -> Object:
    return {"image": image, "imagePullPolicy": policy}


@pytest.mark.parametrize(
    ("policy", "here", "local", "pulls"),
    [
        ("IfNotPresent", False, False, 1),
        ("IfNotPresent", True, False, 0),
        ("Always", True, False, 1),
        ("Always", True, True, 0),
        ("Never", True, False, 0),
    ],
)
async def test_policies(policy: str, here: bool, local: bool, pulls: int) -> None:
    runtime = SimulatedRuntime(lambda: 0.0)
    if here:
        runtime.here[NAME] = ImageStatus("sha256:1", (NAME,), local=local)
    told = Told()
    await Images(Secrets(), runtime).ensure(pod(), wanted(policy), told)  # type: ignore[arg-type]
    assert len(runtime.pulls) == pulls
    assert [reason for _, reason, _ in told] == (["Pulling", "Pulled"] if pulls else ["Pulled"])


async def test_an_image_that_was_pushed_under_another_name_is_still_ours_under_its_own() -> None:
    runtime = SimulatedRuntime(lambda: 0.0)
    pushed = "registry.test/team/one:1"
    image = ImageStatus("sha256:1", (NAME, pushed), ("registry.test/team/one@sha256:" + "1" * 64,))
    runtime.here |= {NAME: image, pushed: image}
    images = Images(Secrets(), runtime)  # type: ignore[arg-type]
    await images.ensure(pod(), wanted("Always"), Told())
    assert runtime.pulls == []
    await images.ensure(pod(), wanted("Always", pushed), Told())
    assert runtime.pulls == [pushed]


@pytest.mark.parametrize(
    ("image", "policy", "reason"),
    [
        ("one:1", "Never", "ErrImageNeverPull"),
        ("No Name", "Always", "InvalidImageName"),
        ("no:1", "Always", "ErrImagePull"),
    ],
)
async def test_what_is_not_to_be_had(image: str, policy: str, reason: str) -> None:
    runtime = SimulatedRuntime(lambda: 0.0)
    runtime.missing.add("docker.io/library/no:1")
    with pytest.raises(NotPossible) as caught:
        await Images(Secrets(), runtime).ensure(pod(), wanted(policy, image), Told())  # type: ignore[arg-type]
    assert caught.value.reason == reason and caught.value.image == image


async def test_many_who_want_the_same_pull_once_and_one_may_go_away() -> None:
    runtime = SimulatedRuntime(lambda: 0.0, pause=lambda: 0.02)
    images = Images(Secrets(), runtime)  # type: ignore[arg-type]
    tasks = [asyncio.create_task(images.ensure(pod(), wanted("Always"), Told())) for _ in range(5)]
    await asyncio.sleep(0.005)
    tasks[0].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError) and all(isinstance(one, ImageStatus) for one in found[1:])
    assert runtime.pulls == [NAME]


async def test_secrets_of_the_registry_are_tried_and_missing_ones_are_told(monkeypatch: Any) -> None:
    runtime = SimulatedRuntime(lambda: 0.0)
    given: list[Any] = []
    pull = runtime.pull

    async def noticed(reference: str, credentials: Any) -> PulledImage:
        given.extend(credentials)
        return await pull(reference, credentials)

    monkeypatch.setattr(runtime, "pull", noticed)
    told = Told()
    secrets = Secrets(one=secret("https://index.docker.io/v1/"), other=secret("elsewhere.example"))
    await Images(secrets, runtime).ensure(pod("one", "other", "none"), wanted("Always"), told)  # type: ignore[arg-type]
    assert given == [Credentials("me", "word")]
    assert any(reason == "FailedToRetrieveImagePullSecret" and "none" in text for _, reason, text in told)


@pytest.mark.parametrize(
    ("place", "image", "matches"),
    [
        ("https://index.docker.io/v1/", "one", True),
        ("docker.io", "me/one:1", True),
        ("registry.example:5000", "registry.example:5000/a/b", True),
        ("registry.example", "registry.example:5000/a/b", False),
        ("*.example", "registry.example/a", True),
        ("*.example", "a.registry.example/a", False),
        ("registry.example/team", "registry.example/team/a:1", True),
        ("registry.example/team", "registry.example/teams/a:1", False),
    ],
)
def test_which_registry_a_secret_is_for(place: str, image: str, matches: bool) -> None:
    assert bool(credentials_for(secret(place), full_name(image))) == matches


@given(st.binary(max_size=80))
def test_a_broken_secret_holds_nothing(data: bytes) -> None:
    broken = {"metadata": {"name": "s"}, "data": {".dockerconfigjson": base64.b64encode(data).decode()}}
    assert credentials_for(broken, "docker.io/library/one:1") == []


def test_times_as_go_writes_them() -> None:
    assert [spell(seconds) for seconds in (0.0012, 0.25, 1.5, 61.25)] == ["1ms", "250ms", "1.5s", "1m1.25s"]


@given(st.lists(st.text("ab ", max_size=30), max_size=120))
def test_the_end_of_a_log_keeps_its_bounds(lines: list[str]) -> None:
    data = "".join(f"2026-11-22T18:00:00.0Z stdout F {line}\n" for line in lines).encode()
    text = tail(data)
    assert len(text) <= 2048 and text.count("\n") <= 80
    assert "".join(f"{line}\n" for line in lines).endswith(text)
