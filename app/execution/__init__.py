"""Running operations: document, plan, load, response.

Contract types: ``request.GraphQLRequest`` and ``request.GraphQLResponse`` stand on either side of
an operation, ``documents.Document`` is its text, ``plan.Plan`` says which sources it needs, and
``context.Context`` is all that a resolver may reach. ``engine`` goes the whole way; ``limits``
holds what an operation may cost; ``explain`` shows what it would ask.
"""
