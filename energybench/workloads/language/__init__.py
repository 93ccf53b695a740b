"""The task of language modelling: texts, causal models of transformers, and their weights."""
