"""ReplicaSet and ReplicationController: as many pods as they say, of one template."""
