"""Ops of the family linear."""
