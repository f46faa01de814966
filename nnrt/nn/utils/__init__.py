"""Utilities on parameters and modules."""
