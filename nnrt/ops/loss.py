"""Ops of the family loss."""
