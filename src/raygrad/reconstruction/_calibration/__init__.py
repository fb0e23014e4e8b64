"""Geometry refined together with the volume."""
