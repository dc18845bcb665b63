"""The public contract, as definitions: the types, their fields, and who may see what.

Contract types: ``user.User`` and what its fields are made of (``values``, ``connection``,
``resolvers``). ``fields`` declares a field together with the record that it reads, ``directives``
says what fields cost, ``export`` compares and prints the schema. It is built and executed by
``app.execution``.
"""
