"""The stages in order: a configured experiment in, a record out."""
