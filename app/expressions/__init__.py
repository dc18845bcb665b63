"""The mapping language: how a field of a record is made of a row. Pure.

Contract type: ``expression.Expression``, a compiled JMESPath expression. ``functions`` adds our own
functions; ``times`` and ``money`` are the rules behind them. ``template`` and ``escapes`` put keys
into requests so that they cannot leave their place. ``ids`` compares ids of users.
"""
