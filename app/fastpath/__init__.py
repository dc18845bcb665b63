"""Replacements of parts of the reference path: the same results for less CPU.

Each is one file, has the interface of the part that it replaces, and can be switched off.
"""
