"""What a pod's JSON asks of the machine: values of `node.runtime`, field by field, with the original's meanings.

    facts.py        what is known of this node, and where a pod's things lie
    sandboxing.py   a pod → SandboxSpec
    planner.py      a container → ContainerRequest; joins all that follows
    environment.py, fields.py, services.py, expanding.py    variables
    security.py, amounts.py, naming.py, mounting.py         rights, limits, DNS, files

Everything but `planner` is pure or reads through a Protocol that it is given. What cannot be had is refused by name
(`NotPossible`), never left out in silence.
"""
