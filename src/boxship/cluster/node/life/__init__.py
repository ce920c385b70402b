"""One pod's life on this machine.

    values.py      what is known, remembered and to be done
    parts.py       the pod's containers, joined with their runs
    restarting.py  whether and when a container is started again
    resizing.py    resources that change while it runs
    statuses.py    what the API is told of a container
    phases.py      phase, conditions, the status as a whole
    ending.py      how a pod ends
    deciding.py    all of these as one function: what next
    starting.py    the steps of a container's start and end
    messages.py    what a container said at its end
    admitting.py   whether the node takes a pod
    noticing.py    events that follow from a status that changed
    writing.py     what of a status has to be written, and how soon
    telling.py     statuses on their way to the API
    acting.py      what is to be done, done
    worker.py      looks, decides, acts: one for each pod

All but starting, messages, telling, acting and worker are pure.
"""
