"""The jobs of a run: which can start, who does them, and how they ended."""
