"""Evidence that looks at classes and at single samples, where others take means over all of them."""
