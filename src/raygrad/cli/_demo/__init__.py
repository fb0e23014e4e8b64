"""`raygrad demo`: four pictures of what raygrad does."""

from raygrad.cli._demo.command import demo as demo
