"""What an operator asks for: topics, the journal, verify, rebuild, dead letters, accounting."""
