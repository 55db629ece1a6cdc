"""Random changes of one input's fields, in training only, so that a small table teaches more.

``build`` takes ``"none"``, ``"default"``, ``"strong"`` or a list of steps by name; the same seed gives the same change.
"""

from polyfuse.data.augment.build import Augmentation, build

__all__ = ["Augmentation", "build"]
