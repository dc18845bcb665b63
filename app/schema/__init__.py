"""The public contract: the types, their fields, and the policies of the fields.

Contract types: ``user.User`` and the types of its fields (``values``, ``connection``).
``resolvers`` has the fields with arguments. ``fields`` declares a field together with the record
that it reads. ``directives`` has the costs of fields. ``export`` prints and compares schemas.
``app.execution`` builds and executes the schema.
"""
