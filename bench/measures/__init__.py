"""The measures, in the order in which they are taken. Each is a function of the place and the number of rounds, and
gives samples by series name: milliseconds, unless the name says otherwise. Each leaves the engine as it found it."""

from bench.measures import (
    crowd,
    cycle,
    executing,
    first_byte,
    listing,
    memory,
    startup,
    stock_client,
    streams,
    traffic,
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
}
