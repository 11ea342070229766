"""Engines beside the worker processes of this machine: clusters that do the jobs of a run."""
