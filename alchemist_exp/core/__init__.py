"""Basics that every other package uses: values, errors, hashing, atomic files, random state."""
