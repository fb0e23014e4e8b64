"""`raygrad info`."""

import typer


def info() -> None:
    """Say what this installation can do, and why."""
    from raygrad.cli._info_run import describe_installation

    rows = describe_installation()
    width = max(len(subject) for subject, _ in rows)
    for subject, text in rows:
        typer.echo(f"{subject:<{width}}  {text}")
