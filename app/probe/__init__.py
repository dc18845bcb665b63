"""Trying the sources by hand: the gateway itself, asked once, with everything in view.

What is shown here may be personal. It is for the operator's own terminal, and goes into no log.
"""
