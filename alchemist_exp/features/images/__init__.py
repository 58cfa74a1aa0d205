"""Encoders of images and texts into one space, in which their cosine says how well they fit."""
