"""Carrying out operations: the plan of each, what its sources say, and what a failure costs.

The contract types are ``Plan`` (what is asked of whom) and ``Outcome`` (what becomes of a user).
"""
