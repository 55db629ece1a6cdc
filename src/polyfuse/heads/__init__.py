"""Heads, a file each: a fused representation becomes what an output holds."""
