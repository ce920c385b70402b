"""Room for everybody: no client can keep the API from the others by asking much.

    rules.py      which flow schema a request belongs to, and so its priority level and flow
    levels.py     seats and queues: who may go on now, who waits, who is sent away
    fairness.py   both over the stored FlowSchemas and PriorityLevelConfigurations

The terms are those of API Priority and Fairness (kubernetes.io), whose objects are obeyed. Two things are ours, because
one process serves all: seats are lent at once instead of every ten seconds, and the flows of a level share its time,
not the number of its requests.
"""
