"""How it is run on a machine: commands, embedded services, the supervisor, doctor, demo."""
