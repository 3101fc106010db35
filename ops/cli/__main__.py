"""`python -m ops.cli`: what the supervisor starts."""

from ops.cli import main

main()
