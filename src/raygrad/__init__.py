"""raygrad: differentiable X-ray imaging with exact derivatives."""

__version__ = "0.1.0"
