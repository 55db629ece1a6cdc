"""The version, in a file of its own: what is saved names it, and must not import the front for it."""

__version__ = "0.1.0"
