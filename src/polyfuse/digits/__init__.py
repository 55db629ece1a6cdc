"""The demo's table of handwritten, spoken and hinted digits."""
