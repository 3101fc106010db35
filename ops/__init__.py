"""How it is run on a machine: commands, embedded services, the supervisor, doctor, demo."""

__version__ = "0.1.0"
