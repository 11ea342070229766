"""Studies: from a TOML file to records, measurements and verdicts."""
