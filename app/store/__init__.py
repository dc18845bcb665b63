"""The shared store: Redis or Valkey, for what several gateways know together.

It knows keys and bytes, and nothing of users. ``contract.py`` has its types, ``redis_client.py``
speaks to a server, ``shared.py`` bounds what the store can cost a request.
"""
