"""Any sequence of attach, detach, connect, disconnect, rename and restart leaves the kernel as the store says."""

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxship.errors import BoxshipError
from boxship.network.groups import Standing
from boxship.network.networks import Networks
from boxship.spec.container import EndpointRequest, NetworkSpec, PortRequest
from boxship.store.memory import MemoryStore

NETWORKS = ("bridge", "one", "inner")
STEP = st.tuples(
    st.sampled_from(
        ["attach", "detach", "connect", "disconnect", "rename", "restart", "both", "member", "stand", "forget"]
    ),
    st.sampled_from("abc"),
    st.lists(st.sampled_from(NETWORKS), unique=True, max_size=3),
    st.sampled_from(["", "8080", "8080-8082", "9000"]),
)


async def play(machine, steps) -> None:
    store = MemoryStore()
    room = Networks(store, machine.run_root, "test", machine.settings)
    await room.start()
    await room.recover(())
    await room.create(NetworkSpec(name="one"))
    await room.create(NetworkSpec(name="inner", internal=True))
    alive: set[str] = set()
    standings: dict[str, Standing] = {}
    for action, letter, names, port in steps:
        container_id = letter * 64
        try:
            if action == "attach":
                requests = tuple(EndpointRequest(name) for name in names)
                ports = (PortRequest(80, host_port=port),) if port else ()
                await room.attach(container_id, letter, requests=requests, ports=ports, hostname=letter)
                alive.add(container_id)
            elif action == "member":
                requests = tuple(EndpointRequest(name) for name in names)
                ports = (PortRequest(80, host_port="8080"), PortRequest(53, "udp", host_port=port or "53"))
                group = {"group": "g", "virtual_name": "v" if names else ""}
                await room.attach(container_id, letter, requests=requests, ports=ports, **group)
                alive.add(container_id)
            elif action == "stand":
                standing = Standing(len(names))
                await room.stand(container_id, standing)
                standings[container_id] = standing
            elif action == "forget":
                await room.keep_virtual({("g", "v")} if port else ())
            elif action == "detach":
                alive.discard(container_id)
                await room.detach(container_id)
            elif action == "both":
                joins = (room.connect(container_id, EndpointRequest(name)) for name in names)
                await asyncio.gather(*joins, room.detach("c" * 64), return_exceptions=True)
                alive.discard("c" * 64)
            elif action == "connect" and names:
                await room.connect(container_id, EndpointRequest(names[0]))
            elif action == "disconnect" and names:
                await room.disconnect(container_id, names[0])
            elif action == "rename":
                await room.rename(container_id, f"{letter}{port}")
            elif action == "restart":
                await crash(room)
                room = Networks(store, machine.run_root, "test", machine.settings)
                await room.start()
                await room.recover(alive, standings={key: standings.get(key, Standing.LEAVING) for key in alive})
        except BoxshipError:
            pass
        assert await room.audit() == []
        found = {key for name in (*NETWORKS, "none") for key in room.endpoints(name)}
        assert found <= alive
    for container_id in alive:
        await room.detach(container_id)
    await room.keep_virtual(())
    await room.close()


async def crash(room: Networks) -> None:
    """What the kernel does for a dead daemon."""
    room._places.reservations.close()
    await room._resolver.close()
    await room._pool.close()
    await room._kernel.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=14))
def test_sequences(machine, steps) -> None:
    asyncio.run(play(machine, steps))
