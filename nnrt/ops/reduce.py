"""Ops of the family reduce."""
