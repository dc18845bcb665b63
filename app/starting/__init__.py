"""From running services to a first configuration file: a guess by their answers, to be checked.

The straight line: ``address`` reads what an operator says of a service, ``ways`` lists the requests
that could find a user there, and ``trial`` calls them as the gateway does. ``rows`` finds the user
in an answer, ``seen`` says of what types its values are, ``proposal`` makes the tables of fields
and types, and ``toml_file`` writes them. All but ``trial`` is pure.

What services answer is personal data. It is shown on the operator's terminal; the file has names
and types only.
"""
