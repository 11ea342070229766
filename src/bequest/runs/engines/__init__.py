"""Engines other than the worker processes of this machine: clusters that do the jobs of a run."""
