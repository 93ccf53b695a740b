"""Stand-ins and small networks that several tests share; none of it is in the package."""
