"""A machine that is none: for tests, for `boxship simulate`, for the seeded simulation of the agent.

runtime.py   a Runtime whose containers are entries of a table with a script
planning.py  the Planner and PodVolumes for it
loop.py      an event loop in virtual time
api.py       an API that lags and fails
shapes.py    pods by chance
checks.py    what must hold
scenario.py  all of these: `simulate(seed)`
"""
