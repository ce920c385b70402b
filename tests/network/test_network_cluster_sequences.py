"""Random changes of services and policies against the real kernel: it takes every step, and holds what it must."""

import logging
import random
from typing import Any

import pytest
from policies_kit import State, between, lead

from boxship.network import policies_rules, services_rules
from boxship.network.cluster import ClusterNetwork
from boxship.network.policies_rules import Block, Match, Ports, Wall
from boxship.network.policies_standing import Standing
from boxship.network.services_rules import Frontend

STEPS = 60


def random_frontend(dice: random.Random, address: str, port: int) -> Frontend:
    targets = tuple(f"10.244.0.{n} . 80" for n in dice.sample(range(2, 9), dice.randint(0, 5)))
    sticky = dice.random() < 0.3
    return Frontend(
        address,
        dice.choice(["tcp", "udp", "sctp"]),
        port,
        targets,
        dice.choice([None, targets[: len(targets) // 2]]),
        dice.choice(["reject", "drop"]),
        "web" if sticky else "",
        dice.choice([60, 90]) if sticky else 0,
        dice.choice([None, None, (), ("192.0.2.0/24", "198.51.100.0/25")]),
    )


def count(listing: list[dict[str, Any]]) -> tuple[dict[str, int], set[str]]:
    """How many elements each set of a table holds, and the names of its chains."""
    sizes = {}
    for item in listing:
        for kind in ("set", "map"):
            if kind in item:
                sizes[item[kind]["name"]] = len(item[kind].get("elem", ()))
    return sizes, {item["chain"]["name"] for item in listing if "chain" in item}


async def held(cluster: ClusterNetwork, table: str) -> tuple[dict[str, int], set[str]]:
    kernel = cluster._kernel
    return count(await kernel.run(lambda: kernel.nftables.query(f"list table ip {table}")))


@pytest.mark.parametrize("seed", range(2))
async def test_services(cluster: ClusterNetwork, caplog: pytest.LogCaptureFixture, seed: int) -> None:
    dice = random.Random(seed)
    caplog.set_level(logging.WARNING)
    present: dict[Any, Frontend] = {}
    await cluster.services.replace([])
    for _ in range(STEPS):
        gone = dice.sample(list(present), dice.randint(0, min(2, len(present))))
        places = [(f"10.96.0.{n}", 80) for n in range(1, 6)] + [("", 30080), ("", 30081)]
        put = [random_frontend(dice, *place) for place in dice.sample(places, dice.randint(0, 3))]
        put = [item for item in put if item.key not in gone]
        await cluster.services.change(gone, put)
        present = {key: item for key, item in present.items() if key not in gone} | {item.key: item for item in put}
        if dice.random() < 0.1:
            await cluster.services.replace(list(present.values()))
        sizes, chains = await held(cluster, "boxship_test_services")
        known = cluster.services._frontends  # the same, with targets in the places that they were given
        assert {key: set(item.targets) for key, item in known.items()} == {
            k: set(v.targets) for k, v in present.items()
        }
        parts = [services_rules.parts_of(item) for item in known.values()]
        wanted: dict[str, int] = {}
        for name, _ in (place for part in parts for place in part.elements):
            wanted[name] = wanted.get(name, 0) + 1
        for name in ("addresses", "ports", "address_targets", "port_targets", "address_near", "port_near", "fenced"):
            assert sizes[name] == wanted.get(name, 0), name
        assert sizes["closed_addresses"] == wanted.get("closed_addresses", 0)
        assert chains - services_rules.CHAINS.keys() == {name for part in parts for name in part.chains}
        assert {name for part in parts for name in part.sets} == sizes.keys() - services_rules.SETS.keys()
    assert not caplog.records


def random_wall(dice: random.Random, name: str) -> Wall:
    def match() -> Match:
        return Match(
            anybody=dice.random() < 0.2,
            groups=tuple(dice.sample(["g1", "g2", "g3"], dice.randint(0, 2))),
            blocks=tuple(
                dice.sample(
                    [Block("10.0.0.0/8", ("10.1.0.0/16", "10.2.0.0/16")), Block("0.0.0.0/0")], dice.randint(0, 2)
                )
            ),
            anything=dice.random() < 0.3,
            ports=tuple(
                dice.sample(
                    [Ports("tcp", 80), Ports("tcp", 70, 90), Ports("udp"), Ports("sctp", 5)], dice.randint(0, 3)
                )
            ),
            sockets=tuple(dice.sample(["web/tcp", "dns/udp"], dice.randint(0, 1))),
        )

    return Wall(name, tuple(match() for _ in range(dice.randint(0, 2))))


@pytest.mark.parametrize("seed", range(2))
async def test_policies(cluster: ClusterNetwork, caplog: pytest.LogCaptureFixture, seed: int) -> None:
    dice = random.Random(seed)
    caplog.set_level(logging.WARNING)
    walls = [random_wall(dice, f"w{number}") for number in range(5)]
    for _ in range(STEPS):
        if dice.random() < 0.3:
            walls[dice.randrange(5)] = random_wall(dice, f"w{dice.randrange(9)}")

        def pods() -> dict[str, tuple[Wall, ...]]:
            found = dice.sample(range(2, 9), dice.randint(0, 4))
            return {f"10.244.0.{n}": tuple(dice.sample(walls, dice.randint(1, 3))) for n in found}

        def members(text: str) -> frozenset[str]:
            return frozenset(text.format(n) for n in dice.sample(range(2, 9), dice.randint(0, 5)))

        groups = {name: members("10.244.0.{}") for name in ("g1", "g2", "g3")}
        sockets = {"web/tcp": members("10.244.0.{} . tcp . 80"), "dns/udp": members("10.244.0.{} . udp . 53")}
        state = State(pods(), pods(), groups, sockets)
        await lead(cluster, state)
        if state.is_empty:
            continue
        sizes, chains = await held(cluster, "boxship_test_policies")
        wanted = Standing(())
        wanted.take("fresh", between(State(), state))
        assert chains == wanted.chains.keys() | policies_rules.CHAINS.keys()
        assert sizes["incoming"] == len(state.incoming) and sizes["outgoing"] == len(state.outgoing)
        assert {name: sizes[name] for name in wanted.sets} == {name: len(found) for name, found in wanted.sets.items()}
        assert sizes.keys() == wanted.sets.keys() | policies_rules.SETS.keys()
    assert not caplog.records
