"""Evidence about single classes and samples, where other kinds take means over all of them."""
