"""HTTP in and out.

Contract types: ``request.IncomingRequest`` is an HTTP request, ``parameters.Parameters`` are the
GraphQL parameters in it. ``endpoint`` is the GraphQL endpoint. ``responses`` writes its responses.
``protocol`` and ``pipelining`` limit what a connection may do. ``graphiql`` is the page for
browsers.
"""
