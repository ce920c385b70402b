"""What is there from the start: objects that the original makes, made here in the same names and with the same content.

    roles.py        roles for people and parts, with their bindings
    controllers.py  roles for controllers, one each
    flows.py        priority levels and flow schemas
    objects.py      namespaces, the `kubernetes` Service, priority classes, config maps
    writing.py      words for writing roles down
    presence.py     several servers over one store tell each other that they are there
    start.py        makes what is missing, completes what was made by an older version

All but the last two is data. Whoever deletes one of these objects gets it back at the next start; what people have
added to one stays.
"""
