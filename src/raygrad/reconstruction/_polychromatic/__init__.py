"""Reconstruction that knows of spectra."""
