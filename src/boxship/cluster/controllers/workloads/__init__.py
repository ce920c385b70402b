"""The controllers that keep pods running: ReplicaSet, ReplicationController, Deployment, DaemonSet, StatefulSet, Job
and CronJob, each in a folder of its own with the same shape: pure decisions over (object, what was observed, now), and
a `controller.py` that reads, asks them, and carries out what they say.

What they stand on lies beside: facts of pods (`pods`), who belongs to whom (`family`, `claiming`), what was written but
is not seen yet (`expecting`, `writing`), revisions of templates (`revisions`). None of them keeps
truth in memory: after kill -9 the objects say everything. Sources: kubernetes.io, "Workloads"; the API reference; texts
of events and conditions as the original's, since people and programs match them.
"""
