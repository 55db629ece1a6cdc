"""A trained model made smaller: each method a file, measured before and after."""
