"""The front door: fit, compare, inspect, load and their like, and the model that they give."""

from polyfuse.api.inspection import Inspection, inspect
from polyfuse.api.model import Model, load
from polyfuse.api.verbs import compare, demo, fit, index, parts, starter

__all__ = ["Inspection", "Model", "compare", "demo", "fit", "index", "inspect", "load", "parts", "starter"]
