"""What a run shows: one file per kind of evidence, and the readings of its networks."""
