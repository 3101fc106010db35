"""What is done with memory: intents become drafts, drafts become sends, each accounted for.

Runs as a process of its own, `fanmemory llm`; its transactions are in `stores`.
"""
