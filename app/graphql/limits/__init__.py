"""What a query may cost, and what it does cost: found before anything is called for it.

source      the text of a document, and where its lines begin
counts      how deep a document is, how many aliases, directives and fields it has
checks      a document's limits, and its validation
variables   the size and the depth of variables
directives  ``@cost`` and ``@listSize``, as the schema declares them
rates       what one field costs by them
term        a cost as a sum of products, of which variables say some factors
price       what an operation costs, as a function of its variables
allowance   what the operations of one request have cost so far
"""
