"""A vision-language model in this process: loading, batching, prefix sharing, memory."""
