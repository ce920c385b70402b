"""What `boxship compose` is made of: the Host over HTTP that carries plans out, and everything that people see of it.

`creation*` turn a service into the body of a create, `host` performs actions with the daemon, `views` show how that
goes, `printing` and `attached` show what containers say, `opening` reads command line and environment. Which actions
there are and in what order is never decided here: the room `compose` does.
"""
