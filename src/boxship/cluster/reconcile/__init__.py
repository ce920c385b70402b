"""What every controller stands on: a memory of objects that follows the API, a queue of keys, and the loop that gives
each key to the controller until it is done.

    following.py  list and watch one resource without end, whatever happens to the connection
    cache.py      the objects of one resource as they are known now
    queue.py      keys that wait: each once, later ones at their time
    leading.py    which of several control planes does the work
    runner.py     controllers at work: one key at a time each, tried again with growing pauses
    recording.py  events for people, written beside the work

A controller never keeps truth in memory: it gets a key, reads, decides, and writes what is missing. Who may try again,
and when, is decided here and nowhere else.
"""
