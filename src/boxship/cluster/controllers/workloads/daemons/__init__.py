"""DaemonSet: one pod on each node that it is for."""
