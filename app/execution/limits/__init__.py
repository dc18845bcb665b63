"""What an operation may cost, and what it does cost, found before a source is called.

- ``counts``: the size of a document: depth, aliases, directives, fields.
- ``checks``: the limits of a document, and its validation.
- ``cost_expression``: a cost as a sum of products, of which variables say some factors.
- ``introspection``: the cost of introspection.
- ``price``: the cost of an operation, as a function of its variables.
- ``budget``: what the operations of one HTTP request may cost together, and have cost so far.
"""
