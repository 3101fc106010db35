"""What is done with memory: intents become drafts, drafts become sends, each accounted for.

Runs as a process of its own, `fanmemory llm`; its transactions are in `stores`.

agent       the process: claims, composes, sends, lets go
campaigns   one campaign: who its members are, and its next step
composer    one workflow: memory, prompt, provider, checks, and what is written of each
metrics     what Prometheus sees of it
adapters    what sends a message, and what an answer proves

The model's side, without a clock, a database or a wait of its own:
material       what a workflow knows before a model is asked
prompts        what a model is asked, and how texts of others are kept from saying it
providers      who answers: OpenAI, Azure, a template
outcomes       what an answer came to
results        the four typed results
checks         what is wrong with a result, without a model: flags
ledger         what was offered to a fan before, against what a text offers
speech, likeness, offplatform, promises, secrecy, words   what the checks look for in texts
retrying       what follows a failed attempt
routing        which provider is asked first, and the circuit around each
sharing        equal calls in flight are one; the key of a cached answer
prices         what a call costs
deployments    Azure's table: models and rates
"""
