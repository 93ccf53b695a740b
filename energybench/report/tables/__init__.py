"""Tables of results, as text for a terminal or a README."""
