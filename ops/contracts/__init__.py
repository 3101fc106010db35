"""What is published in `schemas/published/`, made from the code: `make contracts` writes it.

asyncapi       the topics and their records, for whoever writes to Kafka or reads from it
python_models  what the client for Python sends and reads
published      every file with its content: OpenAPI, AsyncAPI, JSON Schemas, those models
"""
