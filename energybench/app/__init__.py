"""The user interfaces: the pytest plugin and the `energybench` command."""
