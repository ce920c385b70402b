"""The only room that opens sockets: HTTP server and clients, raw connections, and an in-memory twin for tests.

Import its modules by name (`transport.exchange`, `transport.server`, `transport.client`, …): this file stays empty of
code, so that a client that needs the blocking part alone does not pay for the server's libraries.
"""
