"""Why a model says what it says: contributions of inputs, and of the parts of their cells."""
