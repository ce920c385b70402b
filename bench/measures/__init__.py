"""The measures, in the order in which they are taken. Each is a function of the place and the number of rounds, and
gives samples by series name: milliseconds, unless the name says otherwise. Each leaves the engine as it found it."""

from bench.measures import (
    blobs,
    building,
    crowd,
    cycle,
    executing,
    first_byte,
    listing,
    memory,
    moving,
    startup,
    stock_client,
    streams,
    traffic,
    unpacking,
)

MEASURES = {
    "cycle": cycle.measure,
    "first_byte": first_byte.measure,
    "exec": executing.measure,
    "stock_client": stock_client.measure,
    "crowd": crowd.measure,
    "memory": memory.measure,
    "streams": streams.measure,
    "traffic": traffic.measure,
    "listing": listing.measure,
    "startup": startup.measure,
    "building": building.measure,
    "moving": moving.measure,
    "unpacking": unpacking.measure,
    "blobs": blobs.measure,
}

# What an engine must offer to be measured (see `Engine.offers`); containers, where nothing is said here.
NEEDS = {"building": "builds", "moving": "images", "unpacking": "images", "blobs": "registry"}
