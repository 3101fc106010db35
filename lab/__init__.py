"""How it is proved and measured. Not in the image.

load   synthetic interactions from a seed, and what they add up to
chaos  the fault suite: everything is killed while events flow, then every promise is checked
bench  every figure in the docs
model_server  a stand-in for OpenAI and Azure OpenAI, with every failure
cli    the commands `fanmemory chaos` and `fanmemory bench`
"""
