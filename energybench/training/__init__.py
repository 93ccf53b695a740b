"""The paper's training protocol (arXiv 2506.01311), for any `workloads.base.Task`."""
