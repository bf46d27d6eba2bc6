"""Readers: from the files of a source to the canonical table of interactions."""
