"""`raygrad demo`: four pictures of what raygrad does."""

from raygrad.app.demo.run import run_demo as run_demo
