"""`boxship cluster`: brings the processes of a cluster up and down, and writes its kubeconfig."""
