"""How it is proved and measured: load, the fault suite, benches. Not in the image."""
