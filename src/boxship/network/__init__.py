"""Networks of containers: address management, bridges, interfaces, published ports and the resolver at 127.0.0.11.

`networks.Networks` is the whole of it towards the engine; it is given names and values and answers with an Attachment.
Decisions (addresses, rules, files, answers) are pure modules; `kernel` alone acts. It never learns what a container is
beyond its id, its name and whether it lives, and it never touches an interface, rule or namespace of anybody else.
"""
