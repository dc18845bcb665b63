"""The mapping language: how a field of a record is computed from a row. Pure.

Contract type: ``expression.Expression``, a compiled JMESPath expression. ``functions`` adds our own
functions; ``times`` and ``money`` hold their rules. ``template`` and ``escapes`` write keys into
requests so that a key cannot change the rest of the request. ``ids`` compares ids of users.
"""
