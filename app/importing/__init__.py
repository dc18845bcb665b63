"""From an OpenAPI document to the settings of a source: a guess, for an operator to check. Pure.

The straight line: ``document`` reads a file, ``operation`` finds one operation in it, ``schemas``
reads its schemas. Then ``requests`` guesses how a request names the users, ``answers`` where the
rows and their keys are, and ``fields`` which property each field of the record is. ``importer``
puts the guess together (``guess.SourceGuess``), and ``toml_text`` writes it.

The types of a guess are those of the settings themselves, so a guess that the settings would refuse
cannot be made.
"""
