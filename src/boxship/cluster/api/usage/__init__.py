"""metrics.k8s.io, built in: what pods and nodes use now, as `kubectl top` and the HorizontalPodAutoscaler ask for it.

    samples.py     an agent's figures read, and two samples made into rates; pure
    collecting.py  asks the agents, about every ten seconds, as long as somebody asks here
    answering.py   the objects: lists, single ones, tables

Contract: the API reference of metrics.k8s.io/v1beta1, and what metrics-server answers. Nothing of it is stored. Where
an APIService of that group names another server, that one answers instead.
"""
