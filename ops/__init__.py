"""How it is run on a machine.

cli                    the `fanmemory` command; `cli.COMMANDS` names each with its module
services               embedded Kafka, PostgreSQL and Valkey under one data directory
supervisor             keeps workers, API and services running
stopped                says which partitions wait for their operator
system                 a whole system in one place, for `up` and `demo`
demo, show             the sample and how a context looks in a terminal
doctor                 looks at everything and says what to do
refusals               what it means when a service refuses us
secrets                development secrets in the data directory
restoring              a mark on half a restore: nothing starts there
importing              reads files of a platform into a staging place
contracts              what is published for others' programs
reference              writes the docs' tables from the code
"""

__version__ = "0.2.0"
