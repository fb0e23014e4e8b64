"""`raygrad demo`: four pictures of what raygrad does."""

from raygrad.cli._demo.run import run_demo as run_demo
