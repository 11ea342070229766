"""What a run shows: one file for each kind of evidence, and what is read of its networks."""
