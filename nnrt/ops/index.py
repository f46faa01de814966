"""Ops of the family index."""
