"""Classical learners over what encoders know of a cell before any training."""
