"""Storage of the control plane: claims get volumes, volumes are made, grow, and go.

    matching.py      which volume fits a claim (pure)
    binding.py       what is to be done next for a claim or a volume (pure)
    binder.py        the controller that does it
    provisioning.py  a volume in a local folder of a node for a claim (pure), provisioner.py the controller
    expanding.py     claims that ask for more
    generic.py       claims of pods' generic ephemeral volumes

The folders themselves are the nodes': a volume is written here, its folder is made by its node when it is first used
and removed by its node before the volume goes (`cluster/node/volumes/local.py`). Nothing here may delete a volume
while its claim is there: before a volume is released, the claim is asked for by the API itself.
"""
