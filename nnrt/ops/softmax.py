"""Ops of the family softmax."""
