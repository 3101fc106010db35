"""The commands of the lab; the command line finds them where this room is installed."""
