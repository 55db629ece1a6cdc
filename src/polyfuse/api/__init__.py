"""The public API: fit, compare, inspect, load and the like, and the model that they return."""

from polyfuse.api.inspection import Inspection, inspect
from polyfuse.api.model import Model, load
from polyfuse.api.verbs import compare, demo, fit, index, parts, starter

__all__ = ["Inspection", "Model", "compare", "demo", "fit", "index", "inspect", "load", "parts", "starter"]
