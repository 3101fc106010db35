"""Who may still be remembered: subjects, their keys, and what is sealed under them."""
