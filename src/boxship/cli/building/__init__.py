"""What `boxship build` is made of: the order that the daemon gets, the conversation with it, and how it is shown.

`options` reads the flags, `place` finds context and Dockerfile, `order` joins both; `conversation` carries bytes both
ways; `steps` keeps what is known of each step, which `plain` and `tree` show; `outputs` writes what comes back.
"""
