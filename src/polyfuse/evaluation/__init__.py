"""How good a model is: metrics with intervals, missing inputs, noise, importance, and the report's pages."""
