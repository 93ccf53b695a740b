"""The paper's training protocol."""
