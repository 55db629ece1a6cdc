"""An index of aligned rows on disk, and what is asked of it."""
