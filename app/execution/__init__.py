"""Running operations: document, plan, load, response.

Contract types: ``request.GraphQLRequest`` and ``request.GraphQLResponse`` are the input and the
output of an operation, ``documents.Document`` is its text, ``plan.Plan`` lists the sources that it
needs, and ``context.Context`` is all that a resolver may use. ``engine`` runs all stages, and
``operation_runner`` the last ones, loading and rendering; ``limits`` limits the cost of operations;
``explain`` lists the calls that an operation would make.
"""
