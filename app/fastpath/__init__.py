"""Replacements of parts of the reference path: the same results for less CPU.

One file each. Every one stands behind the interface of what it replaces, and can be switched off.
"""
